"""What there is to export: the layouts of each array, and its frames."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..common.names import fits
from ..recording.source import Source
from ..replay.feed import Frame, frames_of

__all__ = ["TIMES", "Layout", "Takes", "file_names", "stem_of"]

TIMES = ".time_ns"  # what an array's name gets that of its times by
_LONGEST = 60  # characters of a file's name, before what is added
# What Windows opens a device by, in every folder and with every suffix.
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)

Layout = tuple[np.dtype[Any], tuple[int, ...]]


class Takes:
    """The chosen part of recordings, which is read twice: to count, and to export.

    Attributes
    ----------
    layouts : dict
        Of each array, how many frames have each layout.
    times : dict
        Of each array, the log times of its first and last frame.
    encodings : dict
        Of each array, what its first frame's pixels are; "" if it is no image.
    """

    def __init__(
        self, paths: Sequence[str], start: float, end: float | None, only: Sequence[str]
    ) -> None:
        self._source = Source(paths)
        self._only = only
        first = self._source.start
        self._from = first + int(start * 1e9)
        self._to = None if end is None else first + int(end * 1e9)
        self.layouts: dict[str, dict[Layout, int]] = {}
        self.times: dict[str, tuple[int, int]] = {}
        self.encodings: dict[str, str] = {}
        self._skipped: dict[str, str] = {}
        for frame in self.frames():
            layout = (frame.values.dtype, frame.values.shape)
            counts = self.layouts.setdefault(frame.topic, {})
            counts[layout] = counts.get(layout, 0) + 1
            self.encodings.setdefault(frame.topic, frame.values.encoding)
            begun = self.times.get(frame.topic, (frame.log_time, 0))[0]
            self.times[frame.topic] = (begun, frame.log_time)

    def frames(self, topics: Collection[str] | None = None) -> Iterator[Frame]:
        """Iterate over the frames of some arrays, or of all."""

        def wanted(name: str) -> bool:
            if topics is not None:
                return name in topics
            return not self._only or fits(name, self._only)

        raws = self._source.frames(self._from, self._to, wanted)
        return frames_of(raws, self._skip)

    def _skip(self, topic: str, reason: str) -> None:
        self._skipped.setdefault(topic, reason)

    @property
    def notes(self) -> list[str]:
        """A line for all that could not be read."""
        skipped = [f"{topic!r}: {reason}" for topic, reason in self._skipped.items()]
        return [*self._source.account.notes, *skipped]

    def __enter__(self) -> Takes:
        return self

    def __exit__(self, *error: object) -> None:
        self._source.close()


def file_names(topics: Iterable[str]) -> dict[str, str]:
    """Return each array's name as the name of a file: harmless, and no two the same."""
    names: dict[str, str] = {}
    taken: set[str] = set()  # as systems see them that know no case
    for topic in topics:
        plain = re.sub(r"[^\w.+-]+", "_", topic).strip("._")[:_LONGEST] or "array"
        if _DEVICE.match(plain):
            plain = f"_{plain}"
        name, count = plain, 1
        while taken & {name.casefold(), f"{name}{TIMES}".casefold()}:
            count += 1
            name = f"{plain}-{count}"
        taken |= {name.casefold(), f"{name}{TIMES}".casefold()}
        names[topic] = name
    return names


def stem_of(path: str) -> str:
    """Return the name of a recording, without its suffix."""
    return os.path.splitext(os.path.normpath(path))[0]
