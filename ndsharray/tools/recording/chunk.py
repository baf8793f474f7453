"""What is inside a chunk: records, and the messages of channels that a catalogue knows."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Container, Iterator
from typing import NamedTuple

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Metadata, Schema

from .decompress import decompressed

__all__ = [
    "CHUNK_FIXED",
    "HEAD",
    "IN_CHUNKS",
    "MESSAGE_FIXED",
    "UNREADABLE",
    "Catalogue",
    "Damaged",
    "Raw",
    "count_messages",
    "unpack",
]

HEAD = struct.Struct("<BQ")  # of a record: what it is, and its length after this
MESSAGE_FIXED = struct.Struct("<HIQQ")
CHUNK_FIXED = struct.Struct("<QQQII")  # up to the length of the compression's name
IN_CHUNKS = (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE)
PRIVATE = 0x80  # from here on records are of a program's own kind, and others pass them over
# What the mcap package and Python make of bytes that are no record.
UNREADABLE = (McapError, struct.error, ValueError, LookupError, OverflowError, MemoryError)


class Damaged(Exception):
    """A chunk that is not as it was written.

    Attributes
    ----------
    frames : int
        How many messages it seems to hold.
    """

    def __init__(self, problem: str, frames: int) -> None:
        super().__init__(problem)
        self.frames = frames


class Raw(NamedTuple):
    """A message as the file has it."""

    channel: Channel
    schema: Schema | None
    sequence: int
    log_time: int
    publish_time: int
    data: memoryview


class Catalogue:
    """The schemas and channels of a file, and its metadata, as far as records told of them."""

    def __init__(self) -> None:
        self.schemas: dict[int, Schema] = {}
        self.channels: dict[int, Channel] = {}
        self.metadata: list[Metadata] = []

    def learn(self, opcode: int, body: memoryview) -> None:
        """Note a record that is a schema, a channel or metadata."""
        stream = ReadDataStream(io.BytesIO(body))
        if opcode == Opcode.SCHEMA:
            schema = Schema.read(stream)
            self.schemas[schema.id] = schema
        elif opcode == Opcode.CHANNEL:
            channel = Channel.read(stream)
            self.channels[channel.id] = channel
        elif opcode == Opcode.METADATA:
            self.metadata.append(Metadata.read(stream))

    def topics(self, schemas: Container[str]) -> set[str]:
        """Return the topics of channels whose schema has one of these names."""
        named = {id: schema.name for id, schema in self.schemas.items()}
        channels = self.channels.values()
        return {each.topic for each in channels if named.get(each.schema_id, "") in schemas}

    def messages(self, records: memoryview) -> Iterator[Raw | None]:
        """Iterate over the messages among the records of a chunk; None: of an unknown channel.

        Raises
        ------
        Exception
            One of `UNREADABLE`, at a record that is not whole.
        """
        for opcode, body in _records(records):
            if opcode == Opcode.MESSAGE:
                channel_id, sequence, log_time, publish_time = MESSAGE_FIXED.unpack(
                    body[: MESSAGE_FIXED.size]
                )
                channel = self.channels.get(channel_id)
                if channel is None:  # whose record is damaged
                    yield None
                    continue
                schema = self.schemas.get(channel.schema_id)
                data = body[MESSAGE_FIXED.size :]
                yield Raw(channel, schema, sequence, log_time, publish_time, data)
            elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                self.learn(opcode, body)


def unpack(body: memoryview, is_torn: bool) -> memoryview:
    """Return the records of a chunk, if they are those that were written.

    Raises
    ------
    Damaged
        If its checksum differs (that of a torn chunk cannot be checked).
    Exception
        One of `UNREADABLE`.
    """
    _, _, size, crc, name = CHUNK_FIXED.unpack(body[: CHUNK_FIXED.size])
    at = CHUNK_FIXED.size + name
    compression = str(body[CHUNK_FIXED.size : at], "utf-8")
    records = body[at + 8 :]
    if compression:
        records = decompressed(compression, records, size, is_torn)
    if not is_torn and crc and zlib.crc32(records) != crc:
        raise Damaged("its checksum differs", count_messages(records))
    return records


def _records(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    at = 0
    while at < len(data):
        opcode, length = HEAD.unpack(data[at : at + HEAD.size])
        body = data[at + HEAD.size : at + HEAD.size + length]
        if len(body) < length or not (opcode in IN_CHUNKS or opcode >= PRIVATE):
            raise ValueError("a record that is not whole")
        yield opcode, body
        at += HEAD.size + length


def count_messages(records: memoryview) -> int:
    """Return how many messages there seem to be."""
    count = 0
    try:
        for opcode, _ in _records(records):
            count += opcode == Opcode.MESSAGE
    except (ValueError, struct.error):
        pass
    return count
