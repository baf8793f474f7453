"""The whole terminal as a page that is drawn again and again, and single keys.

Other text comes back as it was, whatever ends the block: a second screen of the terminal is used.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

__all__ = ["draw", "whole_screen"]

# xterm's control sequences: the second screen, and the cursor's visibility.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"

Key = Callable[[float], str]


def draw(lines: Sequence[str]) -> None:
    """Draw a page in place of the one before."""
    # Each line is overwritten and its rest cleared: clearing the page first would flicker.
    page = "\x1b[K\r\n".join(lines)
    sys.stdout.write(f"\x1b[H{page}\x1b[K\x1b[J")
    sys.stdout.flush()


@contextmanager
def whole_screen() -> Iterator[Key]:
    """Take the whole terminal, as long as the block lasts.

    Gives a function that waits for a key, for some seconds at most, and returns it ("": none); an
    arrow as the sequence that it sends.
    """
    with _single_keys() as key, _stoppable():
        _write(_ENTER)
        try:
            yield key
        finally:
            _write(_LEAVE)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if sys.platform == "win32":
    import msvcrt

    @contextmanager
    def _single_keys() -> Iterator[Key]:
        def key(seconds: float) -> str:
            end = time.monotonic() + seconds
            while not msvcrt.kbhit():
                if time.monotonic() >= end:
                    return ""
                time.sleep(0.01)
            pressed = msvcrt.getwch()
            # An arrow comes as two characters, the first of which is one of these.
            return "\xe0" + msvcrt.getwch() if pressed in ("\0", "\xe0") else pressed

        yield key

    @contextmanager
    def _stoppable() -> Iterator[None]:
        yield

else:
    import select
    import termios
    import tty

    _SEQUENCE = 0.02  # seconds in which the rest of a key's sequence follows its first byte, Esc

    @contextmanager
    def _single_keys() -> Iterator[Key]:
        if not sys.stdin.isatty():
            yield _no_key
            return
        fd = sys.stdin.fileno()
        before = termios.tcgetattr(fd)

        def key(seconds: float) -> str:
            if not _has_input(fd, seconds):
                return ""
            pressed = os.read(fd, 1)
            if pressed == b"\x1b" and _has_input(fd, _SEQUENCE):
                pressed += os.read(fd, 7)
            return pressed.decode("ascii", "replace")

        try:
            tty.setcbreak(fd)
            yield key
        finally:
            termios.tcsetattr(fd, termios.TCSADRAIN, before)

    def _has_input(fd: int, seconds: float) -> bool:
        return bool(select.select([fd], [], [], seconds)[0])

    def _no_key(seconds: float) -> str:
        time.sleep(seconds)
        return ""

    @contextmanager
    def _stoppable() -> Iterator[None]:
        """Give the terminal back while the process is stopped (Ctrl-Z)."""

        def suspend(*_: Any) -> None:
            # Not by sys.stdout: a write that waits for the terminal may have been interrupted.
            out = sys.stdout.fileno()
            os.write(out, _LEAVE.encode())
            os.kill(os.getpid(), signal.SIGSTOP)
            if sys.stdin.isatty():
                tty.setcbreak(sys.stdin.fileno())
            os.write(out, _ENTER.encode())

        before = signal.signal(signal.SIGTSTP, suspend)
        try:
            yield
        finally:
            signal.signal(signal.SIGTSTP, before)
