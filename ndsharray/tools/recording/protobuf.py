"""Protocol Buffers as bytes: fields, and the descriptors of the two messages of a recording.

The encoding is small (https://protobuf.dev/programming-guides/encoding) and two messages need
little of it: with the payload as the last field a message is a few bytes before it, so a frame
is written from where it lies. The ``protobuf`` package would copy each frame.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = [
    "ARRAY_SCHEMA",
    "IMAGE_SCHEMA",
    "bytes_field",
    "fields",
    "fixed32_field",
    "head_of_bytes",
    "varint_field",
]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def varint_field(number: int, value: int) -> bytes:
    """Return a field of a non-negative integer."""
    return _varint(number << 3 | _VARINT) + _varint(value)


def fixed32_field(number: int, value: int) -> bytes:
    """Return a field of type fixed32."""
    return _varint(number << 3 | _FIXED32) + struct.pack("<I", value)


def head_of_bytes(number: int, length: int) -> bytes:
    """Return what stands before `length` bytes that are a field."""
    return _varint(number << 3 | _BYTES) + _varint(length)


def bytes_field(number: int, value: bytes) -> bytes:
    """Return a field of bytes, text or an embedded message."""
    return head_of_bytes(number, len(value)) + value


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a varint of more than 64 bits")


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Iterate over a message's fields: the number, and an int or the bytes where they lie.

    Raises
    ------
    ValueError
        If it is no message.
    """
    at = 0
    try:
        while at < len(data):
            key, at = _read_varint(data, at)
            number, kind = key >> 3, key & 7
            value: int | memoryview
            if kind == _VARINT:
                value, at = _read_varint(data, at)
                yield number, value
                continue
            if kind == _BYTES:
                length, at = _read_varint(data, at)
            elif kind in (_FIXED64, _FIXED32):
                length = 8 if kind == _FIXED64 else 4
            else:
                raise ValueError(f"a field of the unknown kind {kind}")
            if at + length > len(data):
                raise ValueError("a field longer than its message")
            yield number, data[at : at + length]
            at += length
    except IndexError:
        raise ValueError("a message that ends in the middle of a field") from None


# --- descriptors: google/protobuf/descriptor.proto

_TYPES = {"int64": 3, "int32": 5, "fixed32": 7, "string": 9, "bytes": 12}
_MESSAGE = 11
_OPTIONAL = 1
_TIMESTAMP = ".google.protobuf.Timestamp"


def _field(name: str, number: int, kind: str) -> bytes:
    head = bytes_field(1, name.encode()) + varint_field(3, number) + varint_field(4, _OPTIONAL)
    if kind in _TYPES:
        return head + varint_field(5, _TYPES[kind])
    return head + varint_field(5, _MESSAGE) + bytes_field(6, kind.encode())


def _file(path: str, message: str, of: list[tuple[str, int, str]], imports: str = "") -> bytes:
    """Return a file with one message as an entry of a FileDescriptorSet."""
    package, name = message.rsplit(".", 1)
    body = bytes_field(1, name.encode())
    body += b"".join(bytes_field(2, _field(*each)) for each in of)
    file = bytes_field(1, path.encode()) + bytes_field(2, package.encode())
    if imports:
        file += bytes_field(3, imports.encode())
    return bytes_field(1, file + bytes_field(4, body) + bytes_field(12, b"proto3"))


_TIMESTAMP_PATH = "google/protobuf/timestamp.proto"
_TIMESTAMP_FILE = _file(
    _TIMESTAMP_PATH, "google.protobuf.Timestamp", [("seconds", 1, "int64"), ("nanos", 2, "int32")]
)

# https://github.com/foxglove/foxglove-sdk/blob/main/schemas/proto/foxglove/RawImage.proto, and a
# field of ours, whose number is far from those that the schema may get itself.
IMAGE_SCHEMA = _TIMESTAMP_FILE + _file(
    "foxglove/RawImage.proto",
    "foxglove.RawImage",
    [
        ("timestamp", 1, _TIMESTAMP),
        ("frame_id", 7, "string"),
        ("width", 2, "fixed32"),
        ("height", 3, "fixed32"),
        ("encoding", 4, "string"),
        ("step", 5, "fixed32"),
        ("data", 6, "bytes"),
        ("npy_header", 1000, "bytes"),
    ],
    _TIMESTAMP_PATH,
)

ARRAY_SCHEMA = _TIMESTAMP_FILE + _file(
    "ndsharray/Array.proto",
    "ndsharray.Array",
    [("timestamp", 1, _TIMESTAMP), ("npy_header", 2, "bytes"), ("data", 3, "bytes")],
    _TIMESTAMP_PATH,
)
