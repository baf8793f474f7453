"""Which arrays the viewer shows: those that were named, as they come and go."""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import dataclass
from typing import Any

from ... import ArrayInfo, NdShArray
from ..common import fits, is_own, listed, matches, reader_of
from ..common.names import is_glob

__all__ = ["MOST", "Catalogue", "Entry"]

MOST = 64  # arrays that are shown; the others are counted
_EVERY = 1.0  # seconds between two looks
_CLOSED_STAYS = 60.0  # seconds that a closed array stays in the list


@dataclass
class Entry:
    """An array that there is, or was a moment ago; `info` is None where none has come yet."""

    key: str
    name: str
    info: ArrayInfo | None
    state: str
    seen: float

    def facts(self) -> dict[str, Any]:
        """Return what the page's list shows."""
        info = self.info
        return {
            "key": self.key,
            "name": self.name,
            "transport": info.transport if info else None,
            "state": self.state,
            "shape": list(info.shape) if info and info.shape is not None else None,
            "dtype": None if not info or info.dtype is None else _short(info.dtype),
            "problem": info.problem if info else None,
        }


class Catalogue:
    """The arrays that were chosen on the command line.

    Parameters
    ----------
    names : list of str
        Names and globs; none: all arrays that have, or had, a living writer.
    options : argparse.Namespace
        With `transport` and `root`.
    """

    def __init__(self, names: list[str], options: argparse.Namespace) -> None:
        self._patterns = names
        self._options = options
        self._entries: dict[str, Entry] = {}
        self._due = 0.0
        self._looking: asyncio.Future[list[ArrayInfo]] | None = None
        self.problem: str | None = None
        self.version = 0
        self.left_out = 0

    def get(self, key: str) -> Entry | None:
        """Return an entry by its key."""
        return self._entries.get(key)

    def make_reader(self, entry: Entry) -> NdShArray:
        """Return a reader of an array."""
        assert entry.info is not None
        return reader_of(entry.info, self._options)

    def facts(self) -> list[dict[str, Any]]:
        """Return what the page's list shows, by name."""
        entries = sorted(self._entries.values(), key=lambda entry: (entry.name, entry.key))
        return [entry.facts() for entry in entries]

    async def refresh(self) -> None:
        """Look which arrays there are, once a second at most, for all pages together."""
        if self._looking is not None or time.monotonic() < self._due:
            return
        self._looking = asyncio.get_running_loop().run_in_executor(None, listed, self._options)
        try:
            there = await asyncio.shield(self._looking)
            self.problem = None
        except OSError as error:
            self.problem = str(error)
        else:
            self._take(there, time.monotonic())
        finally:
            self._looking = None
            self._due = time.monotonic() + _EVERY

    def _take(self, there: list[ArrayInfo], now: float) -> None:
        before = [(entry.key, entry.facts()) for entry in self._entries.values()]
        chosen = {_key(info): info for info in there if self._is_chosen(info)}
        for key, info in chosen.items():
            if key in self._entries or len(self._entries) < MOST:
                self._entries[key] = Entry(key, info.name, info, info.state, now)
        for entry in list(self._entries.values()):
            self._let_go(entry, chosen, now)
        self._wait_for_named()
        self.left_out = len(chosen.keys() - self._entries.keys())
        if before != [(entry.key, entry.facts()) for entry in self._entries.values()]:
            self.version += 1

    def _is_chosen(self, info: ArrayInfo) -> bool:
        if self._patterns:
            return fits(info.name, self._patterns)
        is_there = info.state == "live" or _key(info) in self._entries
        return is_there and not is_own(info.name)

    def _let_go(self, entry: Entry, chosen: dict[str, ArrayInfo], now: float) -> None:
        """Say that an array is closed when it is gone, and forget it after a while."""
        if entry.info is None or entry.key in chosen:
            return
        entry.state = "closed"
        if now - entry.seen > _CLOSED_STAYS:
            del self._entries[entry.key]

    def _wait_for_named(self) -> None:
        """Show what was named and is not there yet."""
        for pattern in self._patterns:
            key = f"?/{pattern}"
            if any(e.info is not None and matches(e.name, pattern) for e in self._entries.values()):
                self._entries.pop(key, None)
            elif key not in self._entries and not is_glob(pattern):
                self._entries[key] = Entry(key, pattern, None, "absent", 0.0)


def _key(info: ArrayInfo) -> str:
    return f"{info.transport}/{info.name}"


def _short(dtype: Any) -> str:
    return f"record of {len(dtype.names)}" if dtype.names else str(dtype)
