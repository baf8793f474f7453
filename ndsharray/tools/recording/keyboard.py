"""Lines from the standard input, while something else runs."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

__all__ = ["listen"]

_LONGEST = 4096  # bytes of a line that count


def listen(on_line: Callable[[str], None], on_end: Callable[[], None] = lambda: None) -> None:
    """Call `on_line` in a thread for each line that comes, and `on_end` when no more can come."""
    try:
        descriptor = sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # there is none
        on_end()
        return
    if os.isatty(descriptor) and not _is_in_front(descriptor):
        return  # a read would stop the process
    threading.Thread(target=_run, args=(descriptor, on_line, on_end), daemon=True).start()


def _is_in_front(descriptor: int) -> bool:
    """Tell whether the terminal's input is for this process, and not for the shell."""
    if sys.platform == "win32":
        return True
    return os.tcgetpgrp(descriptor) == os.getpgrp()


def _run(descriptor: int, on_line: Callable[[str], None], on_end: Callable[[], None]) -> None:
    rest = b""
    try:
        # Not by sys.stdin, whose lock a thread that waits would hold when the process ends.
        while data := os.read(descriptor, 4096):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                on_line(line.decode(errors="replace").strip())
            rest = rest[:_LONGEST]  # of what is no keyboard
    except OSError:
        pass  # the terminal has gone
    on_end()
