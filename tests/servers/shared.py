"""One set of servers for a whole run of the tests, however many processes share the work.

The process that was started first owns the servers: it starts each one when it is first asked for, and ends it by its
own process id. The workers of pytest-xdist are told an address of that process and ask it there.
"""

from __future__ import annotations

import contextlib
import secrets
import tempfile
import threading
from collections.abc import Callable
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any, TypeAlias

from tests.servers.lakefs import binary, lakefs
from tests.servers.s3 import moto, seaweedfs

Address: TypeAlias = tuple[str, int, bytes]  # host, port, and the key that opens it; simple enough for pytest-xdist
LAKEFS_BINARY = "lakefs_binary"


class Servers:
    """The servers of this process."""

    def __init__(self) -> None:
        self._makers: dict[str, Callable[[], Any]] = {
            "seaweed": lambda: self._stack.enter_context(seaweedfs(self._folder("seaweedfs"))),
            "moto_server": lambda: self._stack.enter_context(moto(self._folder("moto"))),
            LAKEFS_BINARY: binary,
            "lakefs_local": lambda: self._stack.enter_context(lakefs(self._folder("lakefs"))),
            "lakefs_s3": lambda: self._stack.enter_context(lakefs(self._folder("lakefs"), self.get("seaweed"))),
        }
        self._made: dict[str, Any] = {}
        self._locks = {name: threading.Lock() for name in self._makers}
        self._stack = contextlib.ExitStack()
        self._listener: Listener | None = None
        self._key = secrets.token_bytes()
        self._closed = False

    def get(self, name: str) -> Any:
        """Start a server, if that was not done before; gives where it listens.

        Raises:
            Exception: It cannot be started; this is not tried twice.
        """
        with self._locks[name]:
            if self._closed:
                raise RuntimeError(f"The run is over: {name} is not started any more.")
            if name not in self._made:
                try:
                    self._made[name] = self._makers[name]()
                except Exception as error:
                    self._made[name] = error
        return _or_raise(self._made[name])

    def begin(self, name: str) -> None:
        """Nothing: where one process does all, nothing can go on meanwhile."""

    def listen(self) -> Address:
        """Let other processes ask, too; gives where."""
        if self._listener is None:
            self._listener = Listener(("127.0.0.1", 0), backlog=64, authkey=self._key)
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        assert isinstance(self._listener.address, tuple)
        host, port = self._listener.address
        return host, port, self._key

    def close(self) -> None:
        """End what was started, also what somebody is just having started."""
        self._closed = True
        if self._listener is not None:
            self._listener.close()
        for lock in self._locks.values():
            with lock:
                pass  # whoever had it is through, and nobody begins any more
        self._stack.close()

    def _folder(self, name: str) -> Path:
        """A folder that goes when the server is gone: what it keeps is large."""
        made = tempfile.TemporaryDirectory(prefix=f"statisfactory-{name}-", ignore_cleanup_errors=True)
        return Path(self._stack.enter_context(made))

    def _accept(self, listener: Listener) -> None:
        while True:
            try:
                connection = listener.accept()
            except (AuthenticationError, EOFError, ConnectionError):
                continue  # it was none of ours, or it has given up
            except OSError:
                return  # closed
            # A thread each: who asks for S3 does not wait while lakeFS is built.
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: Connection) -> None:
        with connection, contextlib.suppress(EOFError, OSError):  # some do not wait for the answer
            name = connection.recv()
            try:
                answer = self.get(name)
            except Exception as error:
                answer = error
            connection.send(answer)


class Elsewhere:
    """The servers of the process that started this one."""

    def __init__(self, address: Address) -> None:
        host, port, self._key = address
        self._where = (host, port)
        self._known: dict[str, Any] = {}

    def get(self, name: str) -> Any:
        """The same as there."""
        if name not in self._known:
            with Client(self._where, authkey=self._key) as connection:
                connection.send(name)
                self._known[name] = connection.recv()
        return _or_raise(self._known[name])

    def begin(self, name: str) -> None:
        """Have a server started, and do not wait for it."""
        with Client(self._where, authkey=self._key) as connection:
            connection.send(name)

    def close(self) -> None:
        """Leave the servers to their owner."""


def _or_raise(made: Any) -> Any:
    if isinstance(made, Exception):
        raise made
    return made
