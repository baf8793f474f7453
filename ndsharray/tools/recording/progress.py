"""Progress: lines that are written over on a terminal, a line a second elsewhere, or JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from ..common import emit
from ..terminal import clipped, shown, terminal

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
        self._shown = 0  # lines on the terminal
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
        if self._shown:
            self._shown += 1

    def show(self, lines: Sequence[str], record: dict[str, Any]) -> None:
        """Show lines (on a terminal all, else the last one), or a record."""
        if self._as_json:
            emit(record)
        elif self._is_terminal:
            self._rewrite(lines)
        else:
            print(lines[-1], flush=True)

    def _rewrite(self, lines: Sequence[str]) -> None:
        size = terminal()
        lines = [clipped(line, size.columns - 1) for line in lines[-(size.lines - 1) :]]
        up = f"\x1b[{self._shown}A" if self._shown else ""
        text = "".join(f"\r\x1b[K{line}\n" for line in lines)
        sys.stdout.write(up + text + "\x1b[J")
        sys.stdout.flush()
        self._shown = len(lines)

    def note(self, line: str) -> None:
        """Say something that stays."""
        self._shown = 0
        print(f"ndsharray: {shown(line)}", file=sys.stderr, flush=True)
