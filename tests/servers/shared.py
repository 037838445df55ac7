"""One set of servers for all processes of a test run.

The process that pytest was started as owns the servers: it starts each when a test first asks for it, and stops all of
them when the run ends. With pytest-xdist its workers ask it through a connection on 127.0.0.1.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

from tests.servers.lakefs import lakefs
from tests.servers.s3 import S3Server, moto, seaweedfs

#: What a worker has to know to ask: host, port, and the key that keeps strangers out.
Address = tuple[str, int, bytes]

#: The names by which servers are asked for.
SEAWEEDFS, MOTO, LAKEFS_LOCAL, LAKEFS_S3 = "seaweedfs", "moto", "lakefs on disk", "lakefs on s3"


class Servers:
    """The servers that were asked for, each started once."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="statisfactory-tests-"))
        self._stack = contextlib.ExitStack()
        self._lock = threading.Lock()
        self._found: dict[str, Future[Any]] = {}

    def get(self, name: str) -> Any:
        """A server; the first who asks starts it, and the others wait for that.

        Raises:
            NoServer: It cannot be had on this machine.
        """
        with self._lock:
            is_first = name not in self._found
            found = self._found.setdefault(name, Future())
        if is_first:
            try:
                found.set_result(self._start(name))
            except BaseException as error:  # whatever it is, all who wait have to hear of it
                found.set_exception(error)
        return found.result()

    def _start(self, name: str) -> Any:
        folder = self._folder / name.replace(" ", "-")
        folder.mkdir()
        kinds: dict[str, Callable[[], AbstractContextManager[Any]]] = {
            SEAWEEDFS: lambda: seaweedfs(folder),
            MOTO: lambda: moto(folder),
            LAKEFS_LOCAL: lambda: lakefs(folder),
            LAKEFS_S3: lambda: lakefs(folder, self._seaweedfs()),
        }
        server = kinds[name]()
        started = server.__enter__()
        with self._lock:
            self._stack.push(server)
        return started

    def _seaweedfs(self) -> S3Server:
        server: S3Server = self.get(SEAWEEDFS)
        return server

    def close(self) -> None:
        """Stop all of them, the last that was started first."""
        self._stack.close()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextlib.contextmanager
def offered(servers: Servers) -> Iterator[Address]:
    """Let other processes of this machine ask for the servers until the block is left."""
    key = secrets.token_bytes(32)
    with Listener(("127.0.0.1", 0), authkey=key) as listener:

        def answer(connection: Connection) -> None:
            with connection, contextlib.suppress(EOFError, OSError):  # the worker is gone
                try:
                    told = servers.get(connection.recv())
                except Exception as error:
                    told = error
                connection.send(told)

        def accept() -> None:
            while True:
                try:
                    connection = listener.accept()
                except (OSError, EOFError):  # the listener is closed, or somebody left before he had said who he is
                    if closed.is_set():
                        return
                    continue
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        closed = threading.Event()
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        host, port = listener.address  # a pair, since it listens on TCP
        try:
            yield host, port, key
        finally:
            closed.set()
            with contextlib.suppress(OSError):  # wakes the thread that waits for a connection
                Client((host, port), authkey=key).close()
            thread.join(10)


def ask(address: Address, name: str) -> Any:
    """The same as :meth:`Servers.get`, from another process."""
    host, port, key = address
    with Client((host, port), authkey=key) as connection:
        connection.send(name)
        told = connection.recv()
    if isinstance(told, Exception):
        raise told
    return told
