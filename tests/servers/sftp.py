"""A real SFTP server, on a thread of the process that asks for it: it starts in some milliseconds."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh

USER, PASSWORD = "statisfactory", "a-secret-of-the-tests"


@dataclass
class SFTPServer:
    """Where the server listens, and what it has in its folder."""

    folder: Path
    port: int = 0
    connections: list[asyncssh.SSHServerConnection] = field(default_factory=list)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    @property
    def url(self) -> str:
        """The URL of its folder."""
        return f"sftp://{USER}@127.0.0.1:{self.port}"

    @property
    def credentials(self) -> dict[str, Any]:
        """The ``credentials`` of a catalog entry; the keys and the agent of who runs the tests are of no use here."""
        return {"password": PASSWORD, "look_for_keys": False, "allow_agent": False}

    def hang_up(self) -> None:
        """End all connections, as a server does that nobody has used for a while."""
        for connection in self.connections:
            self.loop.call_soon_threadsafe(connection.abort)
            asyncio.run_coroutine_threadsafe(connection.wait_closed(), self.loop).result(20)
        self.connections.clear()


class _PlainRename(asyncssh.SFTPServer):  # type: ignore[misc, unused-ignore]  # where it is not installed
    """As of a server whose renames do not replace."""

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        target = self.map_path(newpath)
        if Path(target.decode()).exists():
            raise asyncssh.SFTPFailure("something is there")
        super().posix_rename(oldpath, newpath)


@contextlib.contextmanager
def sftp_server(folder: Path, renames_replace: bool = True) -> Iterator[SFTPServer]:
    """An SFTP server whose root is ``folder``, until the block is left."""
    server = SFTPServer(folder)
    kind = asyncssh.SFTPServer if renames_replace else _PlainRename

    class _Server(asyncssh.SSHServer):  # type: ignore[misc, unused-ignore]
        def connection_made(self, connection: asyncssh.SSHServerConnection) -> None:
            server.connections.append(connection)

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == (USER, PASSWORD)

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=_Server,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            sftp_factory=lambda channel: kind(channel, chroot=str(folder).encode()),
        )

    thread = threading.Thread(target=server.loop.run_forever, name="sftp", daemon=True)
    thread.start()
    acceptor = asyncio.run_coroutine_threadsafe(listen(), server.loop).result(20)
    server.port = acceptor.get_port()
    try:
        yield server
    finally:
        server.hang_up()
        server.loop.call_soon_threadsafe(acceptor.close)
        asyncio.run_coroutine_threadsafe(acceptor.wait_closed(), server.loop).result(20)
        server.loop.call_soon_threadsafe(server.loop.stop)
        thread.join(20)
        server.loop.close()
