"""What the page asks, and what it gets.

``next`` is the one request of a page that waits: it names the tiles and the frame that each has,
and is answered as soon as one of them has a newer one, or after a second. A browser opens only
six connections to a server, so a request for each tile would keep the others waiting.

An answer is the length of a JSON text (four bytes, little-endian), the text, and the data of the
tiles one after the other.
"""

from __future__ import annotations

import asyncio
import json
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from .catalogue import MOST, Catalogue
from .feeds import PATIENCE, Feed
from .frames import Frame, Rendered
from .looks import Look, look_of
from .render import element, render

__all__ = ["Viewer"]

PAGE = Path(__file__).parent / "page"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_IDLE = 10.0  # seconds after which an array that nobody looks at is left
_RENDERERS = 2  # threads


@dataclass(frozen=True)
class Tile:
    """What a page wants of one array: the frame after one, or, while it pauses, that very frame."""

    key: str
    after: int
    frame: int
    look: Look
    at: tuple[int, int] | None


class Viewer:
    """The state behind all pages: the arrays there are, and those that are read.

    Parameters
    ----------
    catalogue : Catalogue
        Which arrays.
    fps : float
        Frames of each that are read in a second at most.
    """

    def __init__(self, catalogue: Catalogue, fps: float) -> None:
        self._catalogue = catalogue
        self._fps = fps
        self._feeds: dict[str, Feed] = {}
        self._pool = ThreadPoolExecutor(_RENDERERS, "ndsharray-view-render")
        self._ended = asyncio.Event()
        files = {path.name: path for path in PAGE.iterdir() if path.suffix in _TYPES}
        self.app = Starlette(
            routes=[
                Route("/", partial(_file, files["page.html"])),
                Route("/next", self._next),
                Route("/element", self._element),
                *(Route(f"/{name}", partial(_file, path)) for name, path in files.items()),
            ]
        )

    def end(self) -> None:
        """Let go of all arrays; pages that wait are answered at once."""
        self._ended.set()
        for feed in self._feeds.values():
            feed.close()
        self._feeds.clear()

    # --- the frames after those that a page has

    async def _next(self, request: Request) -> Response:
        try:
            asked = json.loads(request.query_params["q"])
            tiles = [_tile_of(tile) for tile in asked["tiles"][:MOST]]
            seen = int(asked["seen"])
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            return PlainTextResponse(f"bad question: {error}\n", 400)
        await self._catalogue.refresh()
        if self._ended.is_set():
            return _goodbye()
        feeds = {tile: feed for tile in tiles if (feed := self._feed_of(tile.key)) is not None}
        self._leave_idle()
        if self._catalogue.version == seen and not any(tile.frame for tile in feeds):
            await self._wait(feeds)
        if self._ended.is_set():
            return _goodbye()
        answers = await asyncio.gather(*(self._answer(*item) for item in feeds.items()))
        facts = [facts for facts, _ in answers]
        whole: dict[str, Any] = {"version": self._catalogue.version, "tiles": facts}
        whole["now"] = time.time_ns() / 1e6
        if self._catalogue.version != seen:
            whole["arrays"] = self._catalogue.facts()
        whole["left_out"] = self._catalogue.left_out
        whole["problem"] = self._catalogue.problem
        head = json.dumps(whole, allow_nan=False).encode()
        parts = [struct.pack("<I", len(head)), head, *(data for _, data in answers)]
        return Response(b"".join(parts), media_type="application/octet-stream")

    async def _wait(self, feeds: dict[Tile, Feed]) -> None:
        """Wait until one tile has something newer, for `PATIENCE` at most."""
        waits: set[asyncio.Task[Any]] = {
            asyncio.ensure_future(feed.newer(tile.after)) for tile, feed in feeds.items()
        }
        end = asyncio.ensure_future(self._ended.wait())
        pending = {*waits, end}
        until = time.monotonic() + PATIENCE
        try:
            while (left := until - time.monotonic()) > 0 and not end.done():
                done, pending = await asyncio.wait(
                    pending, timeout=left, return_when=asyncio.FIRST_COMPLETED
                )
                if any(task.result() for task in done):
                    return
        finally:
            for task in (*waits, end):
                task.cancel()
            await asyncio.wait({*waits, end})

    async def _answer(self, tile: Tile, feed: Feed) -> Rendered:
        facts = {"key": tile.key, **feed.facts(), "bytes": 0}
        frame = feed.find(tile.frame, hold=True) if tile.frame else feed.last
        if tile.frame and frame is None:
            return facts | {"gone": True}, b""
        if frame is None or frame.serial == tile.after:
            return facts, b""
        dark = feed.dark(tile.look.dark)
        facts["dark_gone"] = bool(tile.look.dark) and dark is None
        job = frame.rendered(tile.look, self._pool, partial(_render, dark))
        try:
            shown, data = await asyncio.shield(asyncio.wrap_future(job))
        except Exception as error:  # whatever it is, it must not blind the page to other arrays
            return {**facts, "serial": frame.serial, "problem": f"cannot be shown: {error}"}, b""
        # Of this frame: another page may have brought a newer one meanwhile.
        facts |= {**shown, **frame.facts(), "bytes": len(data)}
        if tile.at is not None:
            facts["element"] = element(frame, shown["kind"], tile.look.index, *tile.at)
        return facts, data

    def _feed_of(self, key: str) -> Feed | None:
        feed = self._feeds.get(key)
        if feed is None:
            entry = self._catalogue.get(key)
            if entry is None or entry.info is None:
                return None
            feed = Feed(partial(self._catalogue.make_reader, entry), self._fps)
            self._feeds[key] = feed
        feed.asked = time.monotonic()
        return feed

    def _leave_idle(self) -> None:
        before = time.monotonic() - _IDLE
        for key, feed in list(self._feeds.items()):
            if feed.asked < before:
                feed.close()
                del self._feeds[key]

    # --- single elements

    async def _element(self, request: Request) -> Response:
        """Answer with the raw value in the very frame that a page shows, if it is still there."""
        asked = request.query_params
        try:
            key, serial = asked["key"], int(asked["serial"])
            index, x, y = (int(asked[name]) for name in ("index", "x", "y"))
        except (KeyError, ValueError) as error:
            return PlainTextResponse(f"bad question: {error}\n", 400)
        feed = self._feeds.get(key)
        frame = feed.find(serial, hold="hold" in asked) if feed else None
        if frame is None:
            return JSONResponse({"gone": True})
        if feed is not None and "hold" in asked:
            feed.asked = time.monotonic()
        return JSONResponse({"element": element(frame, asked.get("mode", ""), index, x, y)})


def _goodbye() -> Response:
    return PlainTextResponse("The viewer has ended: 'ndsharray view' starts another one.\n", 503)


def _render(dark: Frame | None, frame: Frame, look: Look) -> Rendered:
    with np.errstate(all="ignore"):  # what overflows is shown as such
        return render(frame, look, dark)


def _tile_of(asked: dict[str, Any]) -> Tile:
    at = asked.get("at")
    return Tile(
        key=str(asked["key"]),
        after=int(asked["after"]),
        frame=int(asked.get("frame") or 0),
        look=look_of(asked),
        at=None if at is None else (int(at[0]), int(at[1])),
    )


async def _file(path: Path, _: Request) -> Response:
    return Response(path.read_bytes(), media_type=_TYPES[path.suffix])
