"""Writes an MCAP file of chunks, each frame from where it lies.

Own code, because the ``mcap`` package's writer copies each message several times (a quarter of the
speed with 4K frames; docs/record.md). Its reader reads every file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mcap.opcode import Opcode
from mcap.records import (
    Attachment,
    AttachmentIndex,
    Channel,
    ChunkIndex,
    Header,
    MessageIndex,
    Metadata,
    MetadataIndex,
    Schema,
)

from ... import __version__
from .chunk import HEAD
from .chunk_builder import ChunkBuilder
from .direct import ALIGNMENT
from .messages import SCHEMAS, Message
from .output import Output, Reserve
from .summary import MAGIC, Summary, encoded, padding

__all__ = ["CHUNK_SECONDS", "FileWriter", "Topic", "library", "topic_of"]

CHUNK_SECONDS = 0.05  # a chunk holds no more; a recorder that is killed loses 0.1 s at most
_CHUNK_BYTES = 8 << 20  # nor much more than this
_RESERVE = 1 << 16
_PADDING = 3 * (ALIGNMENT + HEAD.size)  # bytes at most around two chunks, which a frame may fill


class Topic(NamedTuple):
    """What a channel of a file says of its messages."""

    name: str
    encoding: str
    schema: tuple[str, str, bytes]  # name, encoding, data; no name: no schema
    metadata: tuple[tuple[str, str], ...] = ()


def library() -> str:
    """Return what the files say wrote them."""
    return f"ndsharray {__version__}"


def topic_of(message: Message) -> Topic:
    """Return what a file says of the messages that a frame of ours is one of."""
    schema = (message.schema, "protobuf", SCHEMAS[message.schema])
    return Topic(message.topic, "protobuf", schema)


class FileWriter:
    """An MCAP file that grows by whole chunks.

    Parameters
    ----------
    output : Output
        Where it goes; closed by `close`.
    reserve : Reserve, optional
        Keeps room for the file's end.
    library : str
        What wrote the file.

    Attributes
    ----------
    is_behind : bool
        Whether more waits than the disk takes: then the page cache takes large chunks, too.
    """

    def __init__(self, output: Output, reserve: Reserve | None, library: str) -> None:
        self.is_behind = False
        self._output = output
        self._reserve = reserve
        self._summary = Summary()
        self._schemas: dict[tuple[str, str, bytes], int] = {}
        self._channels: dict[Topic, int] = {}
        self._chunk = ChunkBuilder()
        self._ensure()
        self._write([MAGIC, encoded(Header("", library))])

    @property
    def path(self) -> str:
        """The file's path."""
        return self._output.path

    @property
    def nbytes(self) -> int:
        """The length of the file, as far as it is written, and of the chunk that is not yet."""
        return self._output.size + self._chunk.nbytes

    @property
    def pending(self) -> int:
        """Bytes of the chunk that is not written yet."""
        return self._chunk.nbytes

    def final_size(self, more: int) -> int:
        """Return how long the file gets, roughly, if it is closed after `more` bytes of a frame."""
        size = self.nbytes + more + self._summary.nbytes
        is_aligned = self._output.wants_alignment(self._chunk.nbytes + more)
        return size + (_PADDING if is_aligned else 0)

    @property
    def written(self) -> Counter[str]:
        """How many messages of each topic are in the file, without the chunk that is not yet."""
        topics = {channel: topic.name for topic, channel in self._channels.items()}
        counts: Counter[str] = Counter()
        for channel, count in self._summary.messages.items():
            counts[topics[channel]] += count
        return counts

    def add(self, message: Message, topic: Topic) -> None:
        """Add a message; at once or after `CHUNK_SECONDS` (see `flush_old`) it is written.

        Raises
        ------
        OSError
            If it cannot be written. Then the file ends with the chunk before (see `close`).
        """
        channel = self._channel(topic)
        if self._chunk.count and self._chunk.nbytes + message.nbytes > _CHUNK_BYTES:
            self.flush()
        self._chunk.add(channel, message)
        if self._chunk.nbytes >= _CHUNK_BYTES:
            self.flush()

    def _channel(self, topic: Topic) -> int:
        channel_id = self._channels.get(topic)
        if channel_id is not None:
            return channel_id
        self.flush()  # what stands before its channel does not wait for the rest of a chunk
        name, encoding, data = topic.schema
        schema_id = self._schemas.get(topic.schema, 0)
        if name and not schema_id:
            schema_id = len(self._schemas) + 1
            schema = Schema(id=schema_id, name=name, encoding=encoding, data=data)
            self._write([encoded(schema)])
            self._schemas[topic.schema] = schema_id
            self._summary.add(schema, Opcode.SCHEMA)
        channel_id = len(self._channels) + 1
        metadata = dict(topic.metadata)
        channel = Channel(channel_id, topic.name, topic.encoding, metadata, schema_id)
        self._write([encoded(channel)])
        self._channels[topic] = channel_id
        self._summary.add(channel, Opcode.CHANNEL)
        return channel_id

    def add_metadata(self, name: str, values: Mapping[str, str]) -> None:
        """Add a metadata record: text by key."""
        self.flush()
        record = encoded(Metadata(name, dict(values)))
        offset = self._output.size
        self._write([record])
        self._summary.add(MetadataIndex(offset, len(record), name), Opcode.METADATA_INDEX)

    def add_attachment(self, attachment: Attachment) -> None:
        """Add what another program has put beside the messages."""
        self.flush()
        record = encoded(attachment)
        index = AttachmentIndex(
            offset=self._output.size,
            length=len(record),
            log_time=attachment.log_time,
            create_time=attachment.create_time,
            data_size=len(attachment.data),
            name=attachment.name,
            media_type=attachment.media_type,
        )
        self._write([record])
        self._summary.add(index, Opcode.ATTACHMENT_INDEX)

    def flush_old(self, now: float) -> float:
        """Write a chunk that is `CHUNK_SECONDS` old; return the seconds until the next one is."""
        if not self._chunk.count:
            return CHUNK_SECONDS
        left = self._chunk.begun + CHUNK_SECONDS - now
        if left > 0:
            return left
        self.flush()
        return CHUNK_SECONDS

    def flush(self) -> None:
        """Write the chunk that is being filled."""
        chunk, self._chunk = self._chunk, ChunkBuilder()
        if not chunk.count:
            return
        self._ensure()
        is_aligned = not self.is_behind and self._output.wants_alignment(chunk.nbytes)
        if is_aligned and self._output.size % ALIGNMENT:
            self._write([padding(self._output.size, ALIGNMENT)])
        offset = self._output.size
        head = chunk.head()
        indexes = [encoded(MessageIndex(c, r)) for c, r in chunk.index.items()]
        parts = [head, *chunk.parts, *indexes]
        if is_aligned:
            parts.append(padding(sum(map(len, parts)), ALIGNMENT))
        self._write(parts)
        length = len(head) + chunk.nbytes
        at, offsets = offset + length, {}
        for channel, index in zip(chunk.index, indexes):
            offsets[channel] = at
            at += len(index)
        self._summary.add(
            ChunkIndex(
                chunk_length=length,
                chunk_start_offset=offset,
                compression="",
                compressed_size=chunk.nbytes,
                message_end_time=chunk.end,
                message_index_length=at - offset - length,
                message_index_offsets=offsets,
                message_start_time=chunk.start,
                uncompressed_size=chunk.nbytes,
            ),
            Opcode.CHUNK_INDEX,
        )
        for channel, records in chunk.index.items():
            for log_time, _ in records:
                self._summary.count(channel, log_time)

    def _ensure(self) -> None:
        if self._reserve is not None:
            self._reserve.ensure(self._summary.nbytes + _RESERVE)

    def _write(self, parts: Sequence[bytes | memoryview]) -> None:
        whole = self._output.size
        try:
            self._output.write(parts)
        except OSError:
            self._output.cut(whole)
            raise

    def close(self, account: Iterable[tuple[str, Mapping[str, str]]] = ()) -> None:
        """Write the file's end, and close it. After an error of `add`: without what did not fit.

        Parameters
        ----------
        account : iterable of (str, mapping)
            Metadata that stand last, in the room that was kept for the end.

        Raises
        ------
        OSError
            If the last chunk cannot be written (the file is whole without it), or not even the end
            (the file is closed, and `recover` reads it).
        """
        try:
            try:
                self.flush()
            finally:
                if self._reserve is not None:
                    self._reserve.release()
                    self._reserve = None
                for name, values in account:
                    self.add_metadata(name, values)
                self._output.write(self._summary.encode(self._output.size))
        finally:
            self._output.close()
