"""``ndsharray view``: live pictures, plots and tables of arrays, in a browser."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import secrets
import sys
from typing import Any

from ..common import ToolError, common, emit, listed, require
from ..common.stopping import stop_on_signals
from .opening import opened

__all__ = ["EXAMPLE", "HELP", "arguments", "run"]

HELP = "Show live pictures, plots and tables of arrays in a browser."
EXAMPLE = "ndsharray view camera 'depth*'"

_FASTEST = 240.0
_POLL = 0.2  # seconds


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="names or globs (default: all)")
    parser.add_argument(
        "--port", type=int, default=0, help="the port on 127.0.0.1 (default: any that is free)"
    )
    parser.add_argument(
        "--fps",
        type=float,
        default=30.0,
        help="the most frames per second to show of each array (default: %(default)g)",
    )
    parser.add_argument(
        "--no-open", action="store_true", help="print the address and open no browser"
    )
    common(parser, wait=False)


def run(options: argparse.Namespace) -> int:
    """Serve the page until the user ends it."""
    if not 0 <= options.port <= 65535:
        raise ToolError(f"there is no port {options.port}: 0 to 65535", 2)
    if not 0.1 <= options.fps <= _FASTEST:
        raise ToolError(f"--fps is {options.fps:g}: 0.1 to {_FASTEST:g}", 2)
    for module in ("uvicorn", "starlette", "PIL"):
        require("view", module)
    listed(options)  # it raises for a transport or a root that cannot be
    asyncio.run(_serve(options))
    return 0


async def _serve(options: argparse.Namespace) -> None:
    from .app import Viewer  # these import what the extra installs
    from .catalogue import Catalogue
    from .private import Private
    from .server import Server, listen

    with listen(options.port) as listening, stop_on_signals() as stop:
        port = listening.getsockname()[1]
        token = secrets.token_urlsafe(24)
        viewer = Viewer(Catalogue(options.names, options), options.fps)
        server = Server(Private(viewer.app, token, port), viewer)
        url = f"http://127.0.0.1:{port}/{token}/"
        _say(url, port, options)
        with contextlib.nullcontext() if options.no_open else opened(url):
            serving = asyncio.ensure_future(server.serve([listening]))
            while not stop.asked and not serving.done():
                await asyncio.wait([serving], timeout=_POLL)
            server.should_exit = True
            await serving


def _say(url: str, port: int, options: argparse.Namespace) -> None:
    record: dict[str, Any] = {"url": url, "port": port}
    if options.json:
        emit(record)
    else:
        print(f"looking at {' '.join(options.names) or 'all arrays'}: {url}", flush=True)
        print("Ctrl-C ends it", file=sys.stderr, flush=True)
