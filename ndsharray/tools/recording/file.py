"""One MCAP file, whole or not: its chunks, and the messages of each.

The ``mcap`` package reads the summary of a file that was closed. A file without one is walked
through, record by record, as far as it goes. A chunk is checked when it is read.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from typing import NamedTuple

from mcap.opcode import Opcode
from mcap.reader import SeekingReader

from .chunk import HEAD, MESSAGE_FIXED, UNREADABLE, Catalogue, Damaged, Raw, unpack
from .summary import MAGIC

__all__ = ["ChunkPlace", "NotAFile", "RecordingFile"]

_TIMES = struct.Struct("<QQ")
_FOOTER = struct.Struct("<BQQQI")
_CRC = 4  # bytes of a checksum
_LARGEST_SMALL = 1 << 26  # bytes of a record other than a chunk; more is a damaged length


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
    problem : str
        Why the file could not be read to its end; "" if it was.
    rest : int
        Bytes after the last record that could be read.

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
        self.problem, self.rest = "", 0
        self.catalogue = Catalogue()
        self._file = open(path, "rb", buffering=0)
        try:
            self.size = os.fstat(self._file.fileno()).st_size
            if self._file.read(len(MAGIC)) != MAGIC:
                raise NotAFile(f"{path!r} is no MCAP file")
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
        covered = self._read(start, self.size - start - len(MAGIC) - _CRC)
        return not crc or zlib.crc32(covered) == crc

    def _walk(self) -> None:
        """Find the records one after the other, up to the file's end or the first that is none."""
        at = len(MAGIC)
        while at < self.size:
            head = self._read(at, HEAD.size)
            if len(head) < HEAD.size:
                self._stop_at(at, "the file ends in the middle of a record")
                return
            opcode, length = HEAD.unpack(head)
            end = at + HEAD.size + length
            if opcode == Opcode.DATA_END:
                return
            try:
                self._note(opcode, at, length)
            except UNREADABLE as error:
                self._stop_at(at, f"a record that cannot be read ({error or type(error).__name__})")
                return
            if end > self.size:
                self._stop_at(at, "the file ends in the middle of a record")
                return
            at = end
        self.problem = "the file was not closed"

    def _stop_at(self, at: int, problem: str) -> None:
        self.problem, self.rest = f"{problem}, at byte {at}", self.size - at

    def _note(self, opcode: int, at: int, length: int) -> None:
        whole = HEAD.size + length
        if opcode == Opcode.CHUNK:
            times = _TIMES.unpack(self._read(at + HEAD.size, _TIMES.size))
            self.chunks.append(ChunkPlace(times[0], times[1], at, whole, opcode))
        elif opcode == Opcode.MESSAGE:
            fixed = self._read(at + HEAD.size, MESSAGE_FIXED.size)
            log_time = MESSAGE_FIXED.unpack(fixed)[2]
            self.chunks.append(ChunkPlace(log_time, log_time, at, whole, opcode))
        elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.METADATA):
            if length > _LARGEST_SMALL:
                raise ValueError(f"{length} bytes long")
            if at + whole <= self.size:
                self.catalogue.learn(opcode, self._read(at + HEAD.size, length))
        elif not (Opcode.HEADER <= opcode <= Opcode.DATA_END or opcode >= 0x80):
            raise ValueError(f"of the unknown kind {opcode}")

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

    def messages(self, place: ChunkPlace) -> tuple[list[Raw], str]:
        """Return a chunk's messages, and what is wrong with the rest of it ("": nothing).

        Raises
        ------
        Damaged
            If its bytes are not those that were written.
        """
        try:
            record = self._read(place.offset, place.length)
            opcode, length = HEAD.unpack(record[: HEAD.size])
            is_torn = len(record) < place.length
            if opcode != place.opcode or (length + HEAD.size != place.length):
                raise ValueError("something else is there")
            body = record[HEAD.size :]
            body = record if opcode == Opcode.MESSAGE else unpack(body, is_torn)
        except Damaged:
            raise
        except UNREADABLE as error:
            raise Damaged(str(error) or type(error).__name__, 0) from None
        raws: list[Raw] = []
        try:
            raws.extend(self.catalogue.messages(body))
        except UNREADABLE as error:
            if not is_torn:
                raise Damaged(str(error) or type(error).__name__, len(raws)) from None
            return raws, "a frame that is not whole"
        return raws, ""
