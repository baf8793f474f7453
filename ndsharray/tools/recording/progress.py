"""Progress: lines that are written over on a terminal, a line a second elsewhere, or JSON."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from ..common import emit
from ..common.terminal import clipped, shown, terminal

__all__ = ["Progress"]


class Progress:
    """Shows how far something is.

    Parameters
    ----------
    as_json : bool
        Print records as JSON.
    """

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._is_terminal = not as_json and terminal().cursor
        self._lines: list[str] = []  # on the terminal
        self._printed = ""  # elsewhere, as the last line
        self._below = 0  # lines that the user typed below them
        self._lock = threading.Lock()  # notes come from other threads
        self._period = 0.2 if self._is_terminal else 1.0
        self._due = time.monotonic() + self._period

    def is_due(self) -> bool:
        """Tell whether it is time to show something again."""
        now = time.monotonic()
        if now < self._due:
            return False
        self._due = now + self._period
        return True

    def typed(self) -> None:
        """Note that the user has typed a line, which the terminal shows below."""
        with self._lock:
            self._below += bool(self._lines)

    def show(self, lines: Sequence[str], record: dict[str, Any]) -> None:
        """Show lines (on a terminal all, else the last one if it is new), or a record."""
        if self._as_json:
            emit(record)
        elif self._is_terminal:
            with self._lock:
                self._write(self._up(), lines)
        elif lines[-1] != self._printed:
            self._printed = lines[-1]
            print(shown(lines[-1]), flush=True)

    def note(self, line: str) -> None:
        """Say something that stays, above what is written over."""
        with self._lock:
            if self._lines:
                sys.stdout.write(f"{self._up()}\r\x1b[J")
                sys.stdout.flush()
            print(f"ndsharray: {shown(line)}", file=sys.stderr, flush=True)
            if self._lines:
                self._write("", self._lines)

    def _up(self) -> str:
        up = len(self._lines) + self._below
        return f"\x1b[{up}A" if up else ""

    def _write(self, before: str, lines: Sequence[str]) -> None:
        size = terminal()
        lines = [clipped(shown(line), size.columns - 1) for line in lines[-(size.lines - 1) :]]
        text = "".join(f"\r\x1b[K{line}\n" for line in lines)
        sys.stdout.write(f"{before}{text}\x1b[J")
        sys.stdout.flush()
        self._lines, self._below = lines, 0
