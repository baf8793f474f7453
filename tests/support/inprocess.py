"""A transport inside one process: keeps the interface honest, lends tests memory."""

from __future__ import annotations

import os

from ndsharray import Segment, Transport


class InProcessTransport(Transport):
    """Segments are bytearrays in a dict of the object's own."""

    name = "in_process"

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.root = os.path.realpath(directory)
        self.segments: dict[str, bytearray] = {}

    def create(self, name: str, size: int) -> Segment:
        if name in self.segments:
            raise FileExistsError(name)
        self.segments[name] = bytearray(size)
        return self.open(name, writable=True)

    def open(self, name: str, *, writable: bool) -> Segment:
        if name not in self.segments:
            raise FileNotFoundError(name)
        buf = memoryview(self.segments[name])
        return Segment(name, buf if writable else buf.toreadonly())

    def unlink(self, name: str) -> bool:
        return self.segments.pop(name, None) is not None
