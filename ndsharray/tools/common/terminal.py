"""What the terminal can do, and text that fits into it."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Collection, Sequence
from typing import NamedTuple, TextIO

__all__ = ["Terminal", "aligned", "clipped", "print_rows", "shown", "terminal", "width_of"]

_SMALLEST = (20, 6)  # columns and lines that a picture needs
TRUE_COLOURS = 2**24
_SEQUENCES = 4  # ENABLE_VIRTUAL_TERMINAL_PROCESSING


class Terminal(NamedTuple):
    """What there is to print on.

    Attributes
    ----------
    columns, lines : int
        Its size; 80 x 24 where it has none.
    colours : int
        0, 256, or 2 ** 24.
    unicode : bool
        Whether its encoding has block elements and Braille patterns.
    tty : bool
        Whether a person looks at it.
    cursor : bool
        Whether the cursor can be moved, and there is room for more than a line of text.
    """

    columns: int
    lines: int
    colours: int
    unicode: bool
    tty: bool
    cursor: bool


def terminal(stream: TextIO | None = None) -> Terminal:
    """Return what `stream` (default: the standard output) can do; ``NO_COLOR`` is obeyed."""
    out = sys.stdout if stream is None else stream
    try:
        tty = out.isatty()
        size = tuple(os.get_terminal_size(out.fileno())) if tty else (80, 24)
    except (OSError, ValueError):  # no descriptor: a captured stream
        tty, size = False, (80, 24)
    columns = _number("COLUMNS") or size[0] or 80
    lines = _number("LINES") or size[1] or 24
    cursor = tty and os.environ.get("TERM", "xterm" if os.name == "nt" else "dumb") != "dumb"
    cursor = cursor and columns >= _SMALLEST[0] and lines >= _SMALLEST[1]
    cursor = cursor and _obeys_sequences(out)
    return Terminal(columns, lines, _colours() if cursor else 0, _is_unicode(out), tty, cursor)


def _obeys_sequences(out: TextIO) -> bool:
    """Have Windows' console obey control sequences; False if it does not, or is none (``NUL``)."""
    if sys.platform != "win32":
        return True
    import ctypes
    import msvcrt

    kernel, mode = ctypes.windll.kernel32, ctypes.c_uint32()
    handle = ctypes.c_void_p(msvcrt.get_osfhandle(out.fileno()))
    return bool(
        kernel.GetConsoleMode(handle, ctypes.byref(mode))
        and kernel.SetConsoleMode(handle, mode.value | _SEQUENCES)
    )


def _number(variable: str) -> int:
    text = os.environ.get(variable, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _colours() -> int:
    if os.environ.get("NO_COLOR"):  # https://no-color.org: if it is there and not empty
        return 0
    if os.environ.get("COLORTERM", "") in ("truecolor", "24bit") or "WT_SESSION" in os.environ:
        return TRUE_COLOURS
    return 256 if "256color" in os.environ.get("TERM", "") else 0


def _is_unicode(stream: TextIO) -> bool:
    try:
        "\u2580\u28ff".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def shown(text: str) -> str:
    """Return a name as it may be printed: what would move the cursor is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def width_of(text: str) -> int:
    """Return how many columns a printable text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def clipped(text: str, columns: int) -> str:
    """Return as much of a printable text as `columns` columns hold."""
    if width_of(text) <= columns:
        return text
    while text and width_of(text) > columns - 1:
        text = text[:-1]
    return f"{text}~"


def aligned(
    rows: Sequence[Sequence[str]],
    columns: int = 0,
    drop: Sequence[int] = (),
    right: Collection[int] = (),
) -> list[str]:
    """Return rows of texts as lines, in columns two spaces apart.

    Parameters
    ----------
    rows : sequence of sequences of str
        A column that is empty in all of them is left out. The last text of a row that is shorter
        than the longest takes the rest of its line, and makes no column wider.
    columns : int
        How long a line may be; 0: as long as it is.
    drop : sequence of int
        Which columns go, in this order, as long as the lines are too long.
    right : collection of int
        Which columns are aligned on the right.
    """
    count = max(map(len, rows), default=0)
    cells_of = [row if len(row) == count else row[:-1] for row in rows]
    widths = {i: max(width_of(row[i]) for row in cells_of if i < len(row)) for i in range(count)}
    kept = [i for i in range(count) if widths[i]]
    for column in drop:
        if not columns or sum(widths[i] + 2 for i in kept) - 2 <= columns:
            break
        kept = [i for i in kept if i != column]
    lines = []
    for row, columns_of in zip(rows, cells_of):
        cells = []
        for i in kept:
            if i < len(columns_of):
                space = " " * (widths[i] - width_of(row[i]))
                cells.append(space + row[i] if i in right else row[i] + space)
        line = "  ".join([*cells, *row[len(columns_of) :]]).rstrip()
        lines.append(clipped(line, columns) if columns else line)
    return lines


def print_rows(
    rows: Sequence[Sequence[str]], drop: Sequence[int] = (), right: Collection[int] = ()
) -> None:
    """Print rows of texts, each on one line of a terminal; in a pipe as long as they are.

    Parameters
    ----------
    rows, drop, right
        As for `aligned`.
    """
    screen = terminal()
    for line in aligned(rows, screen.columns if screen.tty else 0, drop, right):
        print(line, flush=True)
