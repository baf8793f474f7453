"""What an MCAP file says of itself at its end: where its chunks are, how many messages it holds.

https://mcap.dev/spec tells what each record is. The records are the ``mcap`` package's.
"""

from __future__ import annotations

import zlib
from collections import defaultdict

from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    AttachmentIndex,
    Channel,
    ChunkIndex,
    DataEnd,
    Footer,
    McapRecord,
    MetadataIndex,
    Schema,
    Statistics,
    SummaryOffset,
)

from .chunk import HEAD, PRIVATE

__all__ = ["MAGIC", "Summary", "encoded", "padding"]

MAGIC = b"\x89MCAP0\r\n"
_FOOTER_HEAD = 25  # bytes of a footer that its checksum covers: all but the checksum


def encoded(record: McapRecord) -> bytes:
    """Return a record as bytes."""
    builder = RecordBuilder()
    record.write(builder)
    encoded: bytes = builder.end()  # type: ignore[no-untyped-call]
    return encoded


def padding(size: int, alignment: int) -> bytes:
    """Return a record that all readers ignore, after which `size` bytes are a multiple."""
    length = -(size + HEAD.size) % alignment
    return HEAD.pack(PRIVATE, length) + bytes(length)


class Summary:
    """Collects what stands at the end of a file, as bytes: an hour has many thousand chunks."""

    def __init__(self) -> None:
        self._groups: dict[Opcode, bytearray] = defaultdict(bytearray)
        self._counts: dict[Opcode, int] = defaultdict(int)
        self.messages: dict[int, int] = defaultdict(int)  # by channel
        self.start = self.end = 0  # of the messages' log times

    @property
    def nbytes(self) -> int:
        """How much the end of the file takes, roughly."""
        return sum(map(len, self._groups.values())) + 64 * len(self.messages) + 4096

    def add(
        self,
        record: Schema | Channel | ChunkIndex | MetadataIndex | AttachmentIndex,
        opcode: Opcode,
    ) -> None:
        """Note a record that the summary repeats, or an index."""
        self._groups[opcode] += encoded(record)
        self._counts[opcode] += 1

    def count(self, channel: int, log_time: int) -> None:
        """Count a message."""
        if not self.messages:
            self.start = self.end = log_time
        self.messages[channel] += 1
        self.start, self.end = min(self.start, log_time), max(self.end, log_time)

    def encode(self, data_end: int) -> list[bytes]:
        """Return all that stands after the data section, which ends at `data_end`."""
        self._groups[Opcode.STATISTICS] = bytearray(encoded(self._statistics()))
        first = encoded(DataEnd(0))
        start = at = data_end + len(first)
        parts, offsets = [], b""
        for opcode, records in self._groups.items():
            parts.append(bytes(records))
            offsets += encoded(SummaryOffset(opcode, at, len(records)))
            at += len(records)
        footer = encoded(Footer(start, at, 0))
        crc = zlib.crc32(footer[:_FOOTER_HEAD], zlib.crc32(offsets, zlib.crc32(b"".join(parts))))
        return [first, *parts, offsets, encoded(Footer(start, at, crc)), MAGIC]

    def _statistics(self) -> Statistics:
        return Statistics(
            attachment_count=self._counts[Opcode.ATTACHMENT_INDEX],
            channel_count=self._counts[Opcode.CHANNEL],
            channel_message_counts=self.messages,
            chunk_count=self._counts[Opcode.CHUNK_INDEX],
            message_count=sum(self.messages.values()),
            metadata_count=self._counts[Opcode.METADATA_INDEX],
            message_start_time=self.start,
            message_end_time=self.end,
            schema_count=self._counts[Opcode.SCHEMA],
        )
