"""``ndsharray export``: recordings as files of numpy, or as video."""

from __future__ import annotations

import argparse
import sys

from ..common import ToolError, above_0, as_json, emit, plural, require
from ..common.terminal import shown
from ..recording.typed import seconds

__all__ = ["EXAMPLE", "HELP", "arguments", "run"]

HELP = "Convert a recording to npz, npy or mp4 files."
EXAMPLE = "ndsharray export drive.mcap --to mp4 --only camera -o drive"

_NOTHING, _USAGE, _LOST = 1, 2, 3


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    add = parser.add_argument
    add("paths", nargs="+", metavar="FILE", help="files, or folders of files")
    add(
        "--to", choices=["npz", "npy", "mp4"], default="npz", help="the kind of file (default: npz)"
    )
    add(
        "-o",
        "--output",
        metavar="PATH",
        help="npz: the file; npy, mp4: the folder for a file of each array (default: after FILE)",
    )
    add("--force", action="store_true", help="replace existing files")
    add("--only", action="append", default=[], metavar="NAME", help="only this name or glob")
    add("--start", type=seconds, default=0.0, metavar="TIME", help="begin at this time: 90, 10min")
    add("--end", type=seconds, metavar="TIME", help="end at this time")
    add(
        "--encoding",
        choices=["rgb8", "bgr8"],
        help="mp4: what images of 3 or 4 bytes a pixel are (default: as the recording says)",
    )
    add("--fps", type=above_0, help="mp4: frames per second (default: as recorded)")
    as_json(parser)


def run(options: argparse.Namespace) -> int:
    """Export; return 1 if there was nothing to, 3 if some of the recording could not be read."""
    require("record", "mcap")
    from .tables import to_npy, to_npz
    from .takes import Takes
    from .video import to_mp4

    export = {"npz": to_npz, "npy": to_npy, "mp4": to_mp4}[options.to]
    try:
        with Takes(options.paths, options.start, options.end, options.only) as takes:
            if not takes.layouts:
                raise ToolError("nothing to export", _NOTHING)
            written = export(takes, options)
            notes = takes.notes
    except FileExistsError as error:
        raise ToolError(
            f"{error.filename!r} is there already; --force replaces it", _USAGE
        ) from None
    except ValueError as error:
        raise ToolError(str(error), _USAGE) from None
    for path, frames in written:
        if options.json:
            emit({"path": path, "frames": frames})
        else:
            print(shown(f"{path}  {plural(frames, 'frame')}"))
    for note in notes:
        print(f"ndsharray: {shown(note)}", file=sys.stderr)
    return _LOST if notes else 0
