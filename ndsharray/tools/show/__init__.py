"""``ndsharray show``: one frame, in the terminal or in a file."""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from ... import ArrayInfo, NdShArray
from ..common import ToolError, common, describe, duration, emit, reader_of, select_one
from ..common.stopping import stop_on_signals
from ..common.terminal import Terminal, clipped, shown, terminal
from . import picture, plot, table
from .png import png

__all__ = ["EXAMPLE", "HELP", "arguments", "run"]

HELP = (
    "Print one frame: a picture in half blocks, a row of numbers as a line, anything else as a "
    "table. Values that are not finite are marked."
)
EXAMPLE = "ndsharray show camera --stats"
_WAIT = 0.1  # seconds: how late the end is noticed
_FEW = 8  # numbers that are printed rather than drawn
_USAGE = 2


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("name", metavar="NAME", help="the array's name")
    parser.add_argument(
        "--stats", action="store_true", help="add least, greatest and mean value, count of NaN"
    )
    parser.add_argument("--save", metavar="FILE", help="write the frame to a .png or .npy file")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    parser.add_argument("--bgr", action="store_true", help="the first of three channels is blue")
    common(parser)


def run(options: argparse.Namespace) -> int:
    """Print or save the newest frame."""
    if options.save and os.path.splitext(options.save)[1] not in (".png", ".npy"):
        raise ToolError(f"--save writes .png and .npy, not {options.save!r}", _USAGE)
    info = select_one(options.name, options)
    with reader_of(info, options) as reader:
        frame = _newest(reader, options.wait)
        head = _head(reader, info, frame)
    if options.save:
        save(frame, options.save, options.bgr, options.force)
    if options.json:
        emit({**head, **statistics(frame)})
        return 0
    print(shown(_title(head, frame)))
    if options.save:
        print(f"saved as {options.save}")
    else:
        screen = terminal()
        spare = 3 + options.stats  # the title, the note, the prompt
        for line in drawn(frame, screen, screen.lines - spare, options.bgr):
            print(line)
    if options.stats:
        print(_in_words(statistics(frame)))
    return 0


def _newest(reader: NdShArray, wait: bool) -> npt.NDArray[Any]:
    with stop_on_signals() as stop:
        while True:
            valid, frame = reader.read(_WAIT)
            if valid:
                return frame
            if not wait:
                raise ToolError(f"{reader.name!r} has no frame yet ('--wait' waits for one)")
            if stop.asked:
                raise KeyboardInterrupt


def _head(reader: NdShArray, info: ArrayInfo, frame: npt.NDArray[Any]) -> dict[str, Any]:
    age = reader.read_time_ms / 1e3
    return {
        "name": reader.name,
        "frame_id": reader.frame_id,
        "shape": list(frame.shape),
        "dtype": frame.dtype.descr if frame.dtype.names else frame.dtype.str,
        "age": age,
        "state": info.state,
    }


def _title(head: dict[str, Any], frame: npt.NDArray[Any]) -> str:
    state = "" if head["state"] == "live" else f"  {head['state']}"
    what = describe(frame.shape, frame.dtype)
    return f"{head['name']}  {what}  #{head['frame_id']}  {duration(head['age'])} old{state}"


def drawn(frame: npt.NDArray[Any], screen: Terminal, lines: int, bgr: bool) -> list[str]:
    """Return a frame as lines that fit into a terminal.

    Of an array with more dimensions than a picture or a line has, the first part is drawn.
    """
    part, index = frame, list[str]()
    while part.ndim > 2 and not picture.is_picture(part) and len(part):
        part = part[0]
        index.append("0")
    note = [f"[{', '.join(index)}] of {len(frame)}:"] if index else []
    lines -= len(note)
    if picture.is_picture(part):
        return note + _as_picture(part, screen, lines, bgr)
    if part.ndim == 1 and part.size > _FEW and part.dtype.kind in "biufc":
        real = np.abs(part) if part.dtype.kind == "c" else part
        return note + plot.draw(real, screen, lines)
    return note + [clipped(line, screen.columns) for line in table.draw(part, screen, lines)]


def _as_picture(part: npt.NDArray[Any], screen: Terminal, lines: int, bgr: bool) -> list[str]:
    """Return a picture's lines, or words where there is nothing to see in them."""
    if (least := part.min()) == part.max():
        return [f"all values are {least!s}"]
    if screen.tty and not screen.cursor:
        return [_in_words(statistics(part))]  # of a dumb terminal nothing is known but text
    rows = picture.draw(part, screen, lines, bgr)
    return rows if any(rows) else [f"too dark without colours: {_in_words(statistics(part))}"]


def statistics(frame: npt.NDArray[Any]) -> dict[str, Any]:
    """Return least, greatest and mean of the values that are not NaN, and how many are NaN.

    None, where there are no such values. Of complex numbers the absolute values count.
    """
    if frame.dtype.kind not in "biufc":
        return {"min": None, "max": None, "mean": None, "nan": None}
    values = np.abs(frame) if frame.dtype.kind == "c" else frame
    nan = 0
    if values.dtype.kind == "f":
        unknown = np.isnan(values)
        nan = int(unknown.sum())
        values = values[~unknown] if nan else values
    if not values.size:
        return {"min": None, "max": None, "mean": None, "nan": nan}
    with np.errstate(all="ignore"):  # infinities have no mean
        mean = float(values.mean(dtype=np.float64))
    least, greatest = values.min().item(), values.max().item()
    return {"min": least, "max": greatest, "mean": mean, "nan": nan}


def _in_words(found: dict[str, Any]) -> str:
    if found["min"] is None:
        return "no numbers" if found["nan"] is None else f"NaN {found['nan']}, nothing else"
    least, greatest, mean = (f"{found[key]:.6g}" for key in ("min", "max", "mean"))
    return f"min {least}  max {greatest}  mean {mean}  NaN {found['nan']}"


def save(frame: npt.NDArray[Any], path: str, bgr: bool, force: bool) -> None:
    """Write a frame to a file, whole or not at all.

    Raises
    ------
    ToolError
        If the file exists and `force` is False, or the frame is no picture.
    """
    if path.endswith(".png") and not picture.is_picture(frame):
        raise ToolError(
            f"{describe(frame.shape, frame.dtype)} is no picture: save it as .npy", _USAGE
        )
    if not force and os.path.exists(path):
        raise ToolError(f"'{path}' exists ('--force' overwrites it)", _USAGE)
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise ToolError(f"'{path}': there is no folder '{folder}'")
    beside = f"{path}.{os.getpid()}.{time.monotonic_ns()}"
    try:
        with open(beside, "xb") as file:
            if path.endswith(".png"):
                file.write(png(picture.as_pixels(frame, bgr)))
            else:
                np.save(file, frame, allow_pickle=False)
        os.replace(beside, path)
    except BaseException:
        if os.path.exists(beside):
            os.unlink(beside)
        raise
