"""A real FTP server, on a thread of the process that asks for it."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

USER, PASSWORD = "statisfactory", "a-secret-of-the-tests"


@contextlib.contextmanager
def ftp_server(folder: Path, is_readable: bool = True) -> Iterator[str]:
    """The URL of an FTP server whose root is ``folder``, until the block is left.

    Args:
        folder: What it shows.
        is_readable: Whether the user may fetch files; listing them is allowed in any case.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports what Python 3.11 calls outdated
        from pyftpdlib.authorizers import DummyAuthorizer
        from pyftpdlib.handlers import FTPHandler
        from pyftpdlib.servers import ThreadedFTPServer

    users = DummyAuthorizer()
    users.add_user(USER, PASSWORD, str(folder), perm="eladfmwMT" + "r" * is_readable)
    handler = type("Handler", (FTPHandler,), {"authorizer": users})
    server = ThreadedFTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"timeout": 0.1, "handle_exit": False})
    thread.start()
    try:
        yield f"ftp://127.0.0.1:{server.socket.getsockname()[1]}"
    finally:
        server.close_all()
        thread.join(20)
