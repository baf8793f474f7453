"""The server's beginning and end: a port of its own on this machine, and no long goodbye."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from collections.abc import Iterator
from typing import Any

import uvicorn

from ..common import ToolError
from .app import Viewer
from .private import App

__all__ = ["Server", "listen"]

_MOST_CONNECTIONS = 200
_LONGEST_QUESTION = 2**20  # bytes: that of a page with many arrays, with long names
_GOODBYE = 3  # seconds for answers that are on their way


def listen(port: int) -> socket.socket:
    """Return a socket that listens on 127.0.0.1; port 0: on a free port.

    Raises
    ------
    ToolError
        If the port is taken, or not for this user.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":  # it lets others take the port, too
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen()  # from now on a request waits for the server
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise ToolError(f"port {port} is in use: another --port, or none, works", 2) from None
        raise ToolError(f"port {port}: {error.strerror}", 2) from None
    return listening


class Server(uvicorn.Server):
    """Serves one viewer, until `should_exit` is set."""

    def __init__(self, app: App, viewer: Viewer) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_level="error",
                access_log=False,  # the token is in every line
                server_header=False,
                lifespan="off",
                ws="none",
                proxy_headers=False,
                h11_max_incomplete_event_size=_LONGEST_QUESTION,
                limit_concurrency=_MOST_CONNECTIONS,
                timeout_graceful_shutdown=_GOODBYE,
            )
        )
        self._viewer = viewer

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the command."""
        yield

    async def shutdown(self, sockets: Any = None) -> None:
        """Answer the pages that wait, and end."""
        self._viewer.end()
        await super().shutdown(sockets)
