"""One MCAP file, whole or not: its chunks, and the messages of each.

The ``mcap`` package reads the summary of a file that was closed. A file without one is walked
through, record by record, and after a damaged one from the next chunk on. A chunk is checked when
it is read.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.reader import SeekingReader
from mcap.records import Attachment

from .chunk import (
    CHUNK_FIXED,
    HEAD,
    IN_CHUNKS,
    MESSAGE_FIXED,
    UNREADABLE,
    Catalogue,
    Damaged,
    Raw,
    count_messages,
    unpack,
)
from .resync import CHUNK_HEAD, is_chunk, next_chunk
from .summary import MAGIC

__all__ = ["ChunkPlace", "NotAFile", "RecordingFile"]

_TIMES = struct.Struct("<QQ")
_FOOTER = struct.Struct("<BQQQI")
_CRC = _DATA_END = 4  # bytes of a checksum, which is all of the end of the data
_UNCOMPRESSED = HEAD.size + CHUNK_FIXED.size + 8  # bytes of a chunk before its records
_WINDOW = 1 << 20  # bytes that are read at once, to be checked
_LARGEST_SMALL = 1 << 26  # bytes of a record other than a chunk; more is a damaged length


class _TooShort(Exception):
    """The file ends before a record does."""


class NotAFile(ValueError):
    """A file that is no recording at all."""


class ChunkPlace(NamedTuple):
    """Where a chunk (or a message outside of chunks) is, and the log times in it."""

    start: int
    end: int
    offset: int
    length: int  # of the whole record; more than the file has, where it ends too soon
    opcode: int


class RecordingFile:
    """An MCAP file, open for reading.

    Parameters
    ----------
    path : str
        The file.

    Attributes
    ----------
    chunks : list of ChunkPlace
        In the file's order.
    catalogue : Catalogue
        Its schemas, channels and metadata, as far as they are known; chunks may bring more.
    is_whole : bool
        Whether the file was closed.
    problems : list of str
        What is not whole: a file that was not closed, records that cannot be read.
    damaged : int
        Messages of chunks that could not be found as such.

    Raises
    ------
    NotAFile
        If the file does not begin as an MCAP file does.
    OSError
        If it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.chunks: list[ChunkPlace] = []
        self.is_whole, self.damaged = False, 0
        self.problems: list[str] = []
        self._attachments: list[tuple[int, int]] = []
        self.catalogue = Catalogue()
        self._file = open(path, "rb", buffering=0)
        try:
            self.size = os.fstat(self._file.fileno()).st_size
            if self._file.read(len(MAGIC)) != MAGIC:
                raise NotAFile(f"'{path}' is no MCAP file")
            if not self._load_summary():
                self._walk()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    # --- finding chunks

    def _load_summary(self) -> bool:
        """Load the chunks' places from the summary; return whether there is one with chunks."""
        if not self._is_summary_intact():
            return False
        try:
            with io.BufferedReader(io.FileIO(self.path)) as stream:
                reader = SeekingReader(stream, record_size_limit=_LARGEST_SMALL)
                summary = reader.get_summary()
                if summary is None:
                    return False
                found = list(reader.iter_metadata())
        except (*UNREADABLE, OSError):  # which seeking to a place before the file is
            return False
        statistics = summary.statistics
        if not summary.chunk_indexes and not (statistics and statistics.message_count == 0):
            return False  # messages outside of chunks, if any
        self.catalogue.schemas.update(summary.schemas)
        self.catalogue.channels.update(summary.channels)
        self.catalogue.metadata = found
        for index in summary.chunk_indexes:
            times = index.message_start_time, index.message_end_time
            place = index.chunk_start_offset, index.chunk_length
            self.chunks.append(ChunkPlace(*times, *place, Opcode.CHUNK))
        self._attachments = [(index.offset, index.length) for index in summary.attachment_indexes]
        self.chunks.sort(key=lambda chunk: chunk.offset)
        return True

    def _is_summary_intact(self) -> bool:
        """Tell whether the file's end is what was written, as far as a checksum tells it."""
        tail = self._read(max(self.size - _FOOTER.size - len(MAGIC), 0), self.size)
        if len(tail) != _FOOTER.size + len(MAGIC) or tail[-len(MAGIC) :] != MAGIC:
            return False
        opcode, _, start, _, crc = _FOOTER.unpack(tail[: _FOOTER.size])
        if opcode != Opcode.FOOTER or not 0 < start < self.size:
            return False
        if not crc:
            return True
        found, end = 0, self.size - len(MAGIC) - _CRC
        for at in range(start, end, _WINDOW):
            found = zlib.crc32(self._read(at, min(_WINDOW, end - at)), found)
        return bool(found == crc)

    def _walk(self) -> None:
        """Find the records one after the other; after damage, from the next chunk on."""
        at = len(MAGIC)
        while at < self.size and not self.is_whole:
            try:
                at = self._note(at)
            except _TooShort:
                at = self._pass_over(at, "the file ends in the middle of a record")
            except UNREADABLE as error:
                why = f"a record that cannot be read ({error or type(error).__name__})"
                at = self._pass_over(at, why)
        if not self.is_whole and not self.problems:
            self.problems.append("the file was not closed")

    def _pass_over(self, at: int, problem: str) -> int:
        """Note a record that is damaged; return where the next chunk is, or the file's end."""
        following = next_chunk(self._read, at + 1, self.size)
        self.problems.append(f"{problem}, at byte {at}")
        self.damaged += self._count(at, following)
        return following

    def _count(self, at: int, end: int) -> int:
        """Return how many messages a damaged message or chunk seems to hold."""
        opcode = self._read(at, 1)[:1]
        if opcode == bytes([Opcode.MESSAGE]):
            return 1
        count, at = 0, at + _UNCOMPRESSED
        while opcode == bytes([Opcode.CHUNK]) and at + HEAD.size <= end:
            inner, length = HEAD.unpack(self._read(at, HEAD.size))
            at += HEAD.size + length
            if inner not in IN_CHUNKS or at > end:
                break
            count += inner == Opcode.MESSAGE
        return count

    def _note(self, at: int) -> int:
        """Note a record; return where the next one begins.

        Raises
        ------
        _TooShort
            If the file ends before it does.
        Exception
            One of `UNREADABLE`, if it is none.
        """
        head = self._read(at, CHUNK_HEAD)
        if len(head) < HEAD.size:
            raise _TooShort
        opcode, length = HEAD.unpack(head[: HEAD.size])
        whole: int = HEAD.size + length
        body = head[HEAD.size :]
        is_torn = at + whole > self.size
        if is_torn and (opcode != Opcode.CHUNK or len(head) < CHUNK_HEAD):
            raise _TooShort
        if opcode == Opcode.CHUNK:
            if not is_chunk(head):
                raise ValueError("a chunk whose lengths differ")
            start, end = _TIMES.unpack(body[: _TIMES.size])
            self.chunks.append(ChunkPlace(start, end, at, whole, opcode))
            if is_torn:
                self.problems.append(f"the file ends in the middle of a record, at byte {at}")
        elif opcode == Opcode.MESSAGE:
            log_time = MESSAGE_FIXED.unpack(body[: MESSAGE_FIXED.size])[2]
            self.chunks.append(ChunkPlace(log_time, log_time, at, whole, opcode))
        elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.METADATA):
            if length > _LARGEST_SMALL:
                raise ValueError(f"{length} bytes long")
            self.catalogue.learn(opcode, self._read(at + HEAD.size, length))
        elif opcode == Opcode.ATTACHMENT:
            self._attachments.append((at, whole))
        elif opcode == Opcode.DATA_END and length == _DATA_END:
            self.is_whole = True
        elif not (Opcode.HEADER <= opcode < Opcode.DATA_END or opcode >= 0x80):
            raise ValueError(f"of the unknown kind {opcode}")
        elif next_chunk(self._read, at + HEAD.size, at + whole) < at + whole:
            raise ValueError("a damaged length")  # a chunk begins before its end
        return min(at + whole, self.size)

    # --- reading chunks

    def _read(self, offset: int, length: int) -> memoryview:
        """Return the file's bytes, fewer where it ends."""
        length = max(min(length, self.size - offset), 0)
        buffer = memoryview(bytearray(length))
        if length:
            self._file.seek(offset)
        at = 0
        while at < length:
            count = self._file.readinto(buffer[at:])
            if not count:
                raise ValueError("the file has become shorter")
            at += count
        return buffer

    def messages(self, place: ChunkPlace) -> tuple[list[Raw], int, bool]:
        """Return a chunk's messages, how many are of unknown channels, and whether one is torn.

        Raises
        ------
        Damaged
            If its bytes are not those that were written.
        """
        try:
            head = self._read(place.offset, HEAD.size)
            opcode, length = HEAD.unpack(head)
            if opcode != place.opcode or (length + HEAD.size != place.length):
                raise ValueError("something else is there")
            record = self._read(place.offset, place.length)
            is_torn = len(record) < place.length
            body = record if opcode == Opcode.MESSAGE else unpack(record[HEAD.size :], is_torn)
        except Damaged:
            raise
        except UNREADABLE as error:
            raise Damaged(str(error) or type(error).__name__, 0) from None
        found: list[Raw | None] = []
        ends_torn = False
        try:
            found.extend(self.catalogue.messages(body))
        except UNREADABLE as error:
            if not is_torn:
                why = str(error) or type(error).__name__
                raise Damaged(why, count_messages(body)) from None
            ends_torn = True
        raws = [raw for raw in found if raw is not None]
        return raws, len(found) - len(raws), ends_torn

    def attachments(self, note: Callable[[str], None]) -> Iterator[Attachment]:
        """Iterate over the attachments that are whole; `note` gets a line for each other one."""
        for offset, length in self._attachments:
            record = self._read(offset, length)
            try:
                opcode, size = HEAD.unpack(record[: HEAD.size])
                crc = int.from_bytes(record[-_CRC:], "little")
                body = record[HEAD.size :]
                is_intact = not crc or zlib.crc32(body[:-_CRC]) == crc
                if (opcode, size + HEAD.size) != (Opcode.ATTACHMENT, length) or not is_intact:
                    raise ValueError("its checksum differs")
                yield Attachment.read(ReadDataStream(io.BytesIO(body)))
            except UNREADABLE as error:
                note(f"'{self.path}': a damaged attachment at byte {offset} ({error})")
