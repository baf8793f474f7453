"""``ndsharray recover``: whole files from what a killed recorder or a bad disk has left."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from .common import ToolError, as_json, emit, plural, require
from .common.terminal import shown

if TYPE_CHECKING:
    from .recording.chunk import Raw
    from .recording.source import Account
    from .recording.writer import FileWriter

__all__ = ["EXAMPLE", "HELP", "arguments", "recover", "run"]

HELP = "Write what is whole in a damaged recording to a new file that every MCAP reader can read."
EXAMPLE = "ndsharray recover drive.mcap -o drive-recovered.mcap"

_NOTHING, _USAGE = 1, 2
_SUFFIX = ".mcap"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("file", metavar="FILE", help="the recording")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="the new file (default: FILE-recovered.mcap)"
    )
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    as_json(parser)


def run(options: argparse.Namespace) -> int:
    """Recover a file; return 1 if nothing in it is whole."""
    require("record", "mcap")
    stem = os.path.normpath(options.file).removesuffix(_SUFFIX)
    output = options.output or f"{stem}-recovered{_SUFFIX}"
    try:
        account = recover(options.file, output, options.force)
    except FileExistsError:
        hint = (
            "is the recording itself" if options.force else "is there already; --force replaces it"
        )
        raise ToolError(f"'{output}' {hint}", _USAGE) from None
    except ValueError as error:
        raise ToolError(str(error), _NOTHING) from None
    if options.json:
        emit({"file": options.file, "output": output, **vars(account)})
        return 0
    for note in account.notes:
        print(shown(note))
    text = plural(account.frames, "frame")
    if account.torn:
        text += f", {account.torn} torn at the end dropped"
    if account.damaged:
        text += f", {account.damaged} damaged dropped"
    print(f"{text}: {output}")
    return 0


def recover(path: str, output: str, force: bool = False) -> Account:
    """Write what is whole in a file (messages, metadata, attachments) to another one.

    Parameters
    ----------
    path : str
        The damaged file, which stays as it is.
    output : str
        The new file.
    force : bool
        Replace a file that is there.

    Returns
    -------
    Account
        How many frames are whole, damaged and torn.

    Raises
    ------
    ValueError
        If it is no recording, or nothing in it is whole.
    FileExistsError
        If `output` is there, and not `force`; or is the damaged file itself.
    OSError
        If a file cannot be read or written. A new file that is not whole is removed.
    """
    from .recording import writer
    from .recording.output import Output
    from .recording.source import Source

    if os.path.exists(output) and os.path.samefile(path, output):
        raise FileExistsError(output)
    source = Source([path])
    try:
        raws = source.frames()
        first = next(raws, None)
        if first is None:
            raise ValueError(f"'{path}' holds no whole frame")
        new = Output(output, force)
        try:
            file = writer.FileWriter(new, None, writer.library())
            _add(file, first)
            for raw in raws:
                _add(file, raw)
            for damaged in source.files:
                for attachment in damaged.attachments(source.account.note):
                    file.add_attachment(attachment)
            metadata = [each for one in source.files for each in one.catalogue.metadata]
            file.close((each.name, each.metadata) for each in metadata)
        except BaseException:
            new.abandon()
            raise
    finally:
        source.close()
    return source.account


def _add(file: FileWriter, raw: Raw) -> None:
    from .recording.messages import Message
    from .recording.writer import Topic

    channel, schema = raw.channel, raw.schema
    about = (schema.name, schema.encoding, schema.data) if schema else ("", "", b"")
    metadata = tuple(channel.metadata.items())
    topic = Topic(channel.topic, channel.message_encoding, about, metadata)
    times = raw.sequence, raw.log_time, raw.publish_time
    file.add(Message(channel.topic, about[0], *times, b"", raw.data), topic)
