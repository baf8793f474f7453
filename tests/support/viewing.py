"""The viewer's server in a thread of the test, and what a page asks it."""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import struct
import threading
import urllib.parse
from typing import Any

from patience import PATIENCE

from ndsharray.tools.view.app import Viewer
from ndsharray.tools.view.catalogue import Catalogue
from ndsharray.tools.view.private import Private
from ndsharray.tools.view.server import Server, listen

TOKEN = "the-token-of-the-test"


class Viewing:
    """A server for the arrays with some names, from ``with`` to its end."""

    def __init__(self, *names: str, fps: float = 1000.0) -> None:
        self._names, self._fps = list(names), fps
        self._begun = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self.version = 0
        self.arrays: list[dict[str, Any]] = []

    async def _serve(self) -> None:
        options = argparse.Namespace(transport=None, root=None)
        self.viewer = Viewer(Catalogue(self._names, options), self._fps)
        self._listening = listen(0)
        self.port = self._listening.getsockname()[1]
        self._server = Server(Private(self.viewer.app, TOKEN, self.port), self.viewer)
        self._begun.set()
        await self._server.serve([self._listening])

    def __enter__(self) -> Viewing:
        self._thread.start()
        assert self._begun.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._listening.close()

    @property
    def is_answering(self) -> bool:
        """Whether somebody waits for an answer."""
        return bool(self._server.server_state.tasks)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        token: str = TOKEN,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Send one request, on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, f"/{token}/{path}", headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def next(self, *tiles: dict[str, Any]) -> list[tuple[dict[str, Any], bytes]]:
        """Ask for what is newer, as a page does; return each tile's facts and data."""
        question = {"seen": self.version, "tiles": [{"after": 0, **tile} for tile in tiles]}
        status, _, body = self.ask("next?q=" + urllib.parse.quote(json.dumps(question)))
        assert status == 200, body
        (length,) = struct.unpack("<I", body[:4])
        head, at = json.loads(body[4 : 4 + length]), 4 + length
        self.version = head["version"]
        self.arrays = head.get("arrays", self.arrays)
        found = []
        for facts in head["tiles"]:
            found.append((facts, body[at : at + facts["bytes"]]))
            at += facts["bytes"]
        assert at == len(body)
        return found

    def key(self, name: str, state: str = "live") -> str:
        """Wait until the list has an array in a state; return its key."""
        for _ in range(100):  # each takes a second at most
            for entry in self.arrays:
                if (entry["name"], entry["state"]) == (name, state):
                    return str(entry["key"])
            self.next()
        raise AssertionError(f"{name!r} is not {state}: {self.arrays}")

    def picture(self, key: str, **wishes: Any) -> tuple[dict[str, Any], bytes]:
        """Ask until there is a frame, and return it."""
        for _ in range(100):
            for facts, data in self.next({"key": key, **wishes}):
                if "kind" in facts or facts.get("gone"):
                    return facts, data
        raise AssertionError(f"no frame of {key!r}")

    def element(self, key: str, serial: int, x: int, y: int, mode: str = "picture") -> Any:
        query = {"key": key, "serial": serial, "index": 0, "x": x, "y": y, "mode": mode}
        return json.loads(self.ask(f"element?{urllib.parse.urlencode(query)}")[2])
