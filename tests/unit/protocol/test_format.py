"""Format v1: headers, checks, and golden bytes decoded by nothing but ``struct`` and the spec."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.extra import numpy as hnp
from inprocess import InProcessTransport

from ndsharray import FormatError
from ndsharray._protocol import format
from ndsharray._protocol.format import ControlHeader, Table
from ndsharray._protocol.layout import Layout, decode_layout
from ndsharray._protocol.memory import Memory
from ndsharray._protocol.npy import encode_header
from ndsharray._registry.names import address_of
from ndsharray._writer.writer import Writer

GOLDEN = Path(__file__).parents[2] / "golden"

DTYPES = [
    np.dtype("f4"),
    np.dtype(">i2"),
    np.dtype("?"),
    np.dtype("c16"),
    np.dtype("g"),
    np.dtype("M8[ns]"),
    np.dtype(">m8[3D]"),
    np.dtype("V5"),
    np.dtype([("a", "i4"), ("b", "f8", (2, 3))], align=True),
    np.dtype([("nested", [("x", ">f4"), ("y", "S3"), ("z", "U2")]), ("", "V3")]),
    np.dtype([(("a title", "name"), "i4")]),
    np.dtype([("左", "i4"), ("Ω", "u1")]),  # needs a 3.0 header
    np.dtype([(f"field {i:04}" * 8, "i4") for i in range(900)]),  # needs a 2.0 header
]


def control_memory(**changes: Any) -> Memory:
    memory = Memory(memoryview(bytearray(4096)))
    control = ControlHeader(5, b"b" * 16, 1, 2, "Kamera 1/左")
    format.store_control(memory, control._replace(**changes))
    return memory


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype)[:30])
@pytest.mark.parametrize("shape", [(), (0, 3), (7,), (2, 1, 4)])
def test_a_header_comes_back_and_np_load_opens_it(
    dtype: np.dtype[Any], shape: tuple[int, ...]
) -> None:
    array = np.zeros(shape, dtype)
    header = encode_header(dtype, shape)
    assert len(header) % 64 == 0
    layout = decode_layout(b"u" * 16, header, array.nbytes)
    assert (layout.dtype, layout.shape, layout.nbytes) == (dtype, shape, array.nbytes)
    file = io.BytesIO(header + array.tobytes())
    if header[6] == 2:
        try:
            loaded = np.load(file, max_header_size=10**7)
        except TypeError:  # numpy before 1.24 has no such limit
            loaded = np.load(file)
    else:
        loaded = np.load(file)
    assert (loaded.dtype, loaded.shape) == (dtype, shape)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # emulated, all is slow
@given(hnp.arrays(hnp.nested_dtypes(hnp.scalar_dtypes()), hnp.array_shapes(min_dims=0, min_side=0)))
def test_any_layout_comes_back(array: Any) -> None:
    try:
        layout = Layout.of(array)
    except NotImplementedError:
        return  # a dtype that a .npy header cannot name
    decoded = decode_layout(layout.uuid, layout.header, layout.nbytes)
    assert (decoded.dtype, decoded.shape, decoded.words) == (
        array.dtype,
        array.shape,
        layout.words,
    )


def test_metadata_of_a_dtype_is_dropped_silently() -> None:
    dtype = np.dtype("i4", metadata={"unit": "m"})
    assert b"unit" not in encode_header(dtype, (3,))


def test_overlapping_fields_cannot_be_named() -> None:
    dtype = np.dtype({"names": ["a", "b"], "formats": ["i4", "i2"], "offsets": [0, 2]})
    with pytest.raises(NotImplementedError, match="cannot be shared"):
        Layout.of(np.zeros(2, dtype))


GOOD = encode_header(np.dtype("f4"), (3,))


def header_of(text: str) -> bytes:
    body = text.encode("latin1").ljust(117) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", 118) + body


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\0" * 128,
        GOOD[:64],
        GOOD[:6] + b"\4\0" + GOOD[8:],
        GOOD[:8] + b"\0\0" + GOOD[10:],
        header_of("{'descr': '<f4', 'fortran_order': True, 'shape': (3,)}"),
        header_of("{'descr': '<f4', 'fortran_order': False, 'shape': [3]}"),
        header_of("{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}"),
        header_of("{'descr': '<f4', 'fortran_order': False, 'shape': (3.0,)}"),
        header_of("{'descr': '<f4', 'fortran_order': False, 'shape': (True,)}"),
        header_of("{'descr': '<f4', 'fortran_order': False, 'shape': (2**70,)}"),
        header_of("{'descr': '|O', 'fortran_order': False, 'shape': (3,)}"),
        header_of("{'descr': (), 'fortran_order': False, 'shape': (3,)}"),
        header_of("{'descr': 'nonsense', 'fortran_order': False, 'shape': (3,)}"),
        header_of("{'descr': '<f4', 'shape': (3,)}"),
        header_of("{'descr': '<f8', 'fortran_order': False, 'shape': (3,)}"),
        header_of("{'descr': '|V0', 'fortran_order': False, 'shape': (" + "9999999999999,)}"),
        header_of("__import__('os').abort()"),
        header_of("(" * 110),
        header_of("-" * 110 + "1"),
        header_of("{[]: 1}"),
        header_of("'\xff"),
        header_of("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}\xa0"),
        header_of("{'descr': '<f4', 'fortran_order': False,\t'shape': (3,)}"),
        header_of("{'descr': [('', '|V12')], 'fortran_order': False, 'shape': ()}"),
    ],
)
def test_a_damaged_header_is_a_format_error(header: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        decode_layout(b"u" * 16, header, 12)
    assert caught.value.field == ".npy header"


def test_shapes_that_numpy_cannot_make_are_a_format_error() -> None:
    for shape in ("0, 2**62, 2**62", "0," * 70):
        text = "{'descr': '<f8', 'fortran_order': False, 'shape': (" + shape + ")}"
        body = text.replace("2**62", str(2**62)).encode().ljust(501) + b"\n"
        header = b"\x93NUMPY\1\0" + struct.pack("<H", 502) + body
        with pytest.raises(FormatError):
            decode_layout(b"u" * 16, header, 0)


@pytest.mark.parametrize(
    ("header", "payload", "field"),
    [
        (0, 0, "header"),
        (100, 0, "header"),
        (2**40, 0, "header"),
        (1024, 0, "header"),
        (128, 1000, "payload"),
        (128, 2**63, "payload"),
    ],
)
def test_sizes_outside_the_slot_are_a_format_error(header: int, payload: int, field: str) -> None:
    with pytest.raises(FormatError, match=field):
        format.check_slot_sizes(header, payload, 1024)


def test_control_comes_back() -> None:
    memory = control_memory()
    assert memory.words[format.READY_WORD] == 0
    assert format.load_version(memory) == format.FORMAT_VERSION
    assert format.load_header(memory) == ControlHeader(5, b"b" * 16, 1, 2, "Kamera 1/左")


@pytest.mark.parametrize(
    ("word", "value", "field"),
    [
        (format.MAGIC_WORD, 1, "magic"),
        (format.MAGIC_WORD, int.from_bytes(b"\x93NDSHARR", "big"), "magic"),
        (format.NAME_LENGTH_WORD, 0, "length of the name"),
        (format.NAME_LENGTH_WORD, 256, "length of the name"),
        (9, 2**64 - 1, "name"),
        (format.INSTANCE_WORD, 0, "instance id"),
        (format.STATE_WORD, 7, "state"),
    ],
)
def test_a_damaged_control_segment_names_the_field(word: int, value: int, field: str) -> None:
    memory = control_memory()
    memory.words[word] = value
    with pytest.raises(FormatError) as caught:
        format.load_version(memory)
        format.load_header(memory)
    assert caught.value.field == field


def test_another_format_version_is_told_and_not_judged() -> None:
    memory = control_memory()
    memory.words[format.VERSION_WORD] = 2
    assert format.load_version(memory) == 2
    assert format.foreign_version(2).field == "format version"


def test_a_control_segment_of_another_array_or_size_is_refused() -> None:
    with pytest.raises(FormatError, match="'Kamera 1/左', not 'x'"):
        format.load_header(control_memory(), "x")
    with pytest.raises(FormatError, match="size"):
        format.load_version(Memory(memoryview(bytearray(100))))


GOOD_TABLE = Table(1, 3, 256, 0, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"segment": 0},
        {"segment": 2**25},
        {"slots": 1},
        {"slots": 251},
        {"stride": 0},
        {"stride": 100},
        {"stride": 2**60},
        {"previous": 2**30},
    ],
)
def test_a_table_that_cannot_be_true_is_refused(change: dict[str, int]) -> None:
    format.check_table(GOOD_TABLE)
    with pytest.raises(FormatError):
        format.check_table(GOOD_TABLE._replace(**change))


def test_newest_has_a_limit() -> None:
    assert format.check_newest(2 * 2**62 + 1) == 2**62
    with pytest.raises(FormatError, match="newest"):
        format.check_newest(2**64 - 1)


def test_live_words_do_not_share_cache_lines_with_static_ones() -> None:
    newest = format.NEWEST_WORD * 8
    assert newest % 128 == 0
    assert newest + 128 <= format.WAITING_BYTE
    assert format.WAITING_BYTE + format.ENTRIES <= format.PINS_BYTE
    assert format.PINS_END <= 8 * format.OWNERS_WORD
    assert format.OWNERS_WORD + format.ENTRIES <= format.CONTROL_SIZE // 8
    assert format.ENTRIES * format.PINS_PER_ENTRY + 2 == format.MAX_SLOTS


# --- golden bytes: format v1 as it was released. Never changed; decoded for ever.


def decode(control: bytes, frames: bytes) -> tuple[str, int, int, np.ndarray[Any, Any]]:
    """Decode a control and a frame segment by the specification alone."""
    magic, version, ready = struct.unpack_from("<3Q", control, 0)
    assert (magic.to_bytes(8, "little"), version, ready) == (b"\x93NDSHARR", 1, 1)
    (length,) = struct.unpack_from("<Q", control, 64)
    (state,) = struct.unpack_from("<Q", control, 576)
    (newest,) = struct.unpack_from("<Q", control, 640)
    position, copy = newest >> 1, newest & 1
    _, slots, stride, _, _ = struct.unpack_from("<5Q", control, 384 + 64 * copy)
    slot = frames[position % slots * stride :][:stride]
    seq, frame, _, header, payload = struct.unpack_from("<5Q", slot, 0)
    assert seq == 2 * position
    array = np.load(io.BytesIO(slot[64 : 64 + header + payload]))
    return control[72 : 72 + length].decode("utf8"), state, frame, array


def check_decoded(decoded: tuple[str, int, int, np.ndarray[Any, Any]]) -> None:
    name, state, frame, array = decoded
    assert (name, state, frame) == ("golden 左", 1, 3)
    assert array.dtype == np.dtype("<f4")
    assert (array == np.arange(6).reshape(2, 3) + 0.5).all()


def write_golden(root: Path, stamp: int = 0) -> tuple[bytes, bytes, Any]:
    address = address_of(InProcessTransport(root), "golden 左")
    writer = Writer(address, 3)
    writer.write(np.zeros(3, np.uint8), stamp)
    writer.write(np.zeros(40, "<i8"), stamp)
    writer.write(np.arange(6, dtype="<f4").reshape(2, 3) + np.float32(0.5), stamp)
    segments = address.transport.segments  # type: ignore[attr-defined]
    frames = next(data for key, data in segments.items() if key != address.control_name)
    return bytes(segments[address.control_name]), bytes(frames), writer


@pytest.mark.skipif(sys.byteorder == "big", reason="the bytes were written on a little-endian one")
def test_golden_bytes_are_still_read() -> None:
    control, frames = (GOLDEN / f"v1.{part}.bin" for part in ("control", "frames"))
    check_decoded(decode(control.read_bytes(), frames.read_bytes()))


@pytest.mark.skipif(sys.byteorder == "big", reason="the decoder is little-endian")
def test_what_is_written_today_is_what_the_specification_says(root: Path) -> None:
    control, frames, writer = write_golden(root)
    writer.close()
    check_decoded(decode(control, frames))


@pytest.mark.skipif(sys.byteorder == "big", reason="the decoder is little-endian")
def test_a_stamp_is_where_the_golden_bytes_have_zeros_and_a_decoder_that_knows_none_passes_it_by(
    root: Path,
) -> None:
    golden = (GOLDEN / "v1.frames.bin").read_bytes()
    control, frames, writer = write_golden(root, stamp=10**18)
    writer.close()
    check_decoded(decode(control, frames))
    stride = len(golden) // 3
    assert [golden[at + 56 : at + 64] for at in range(0, len(golden), stride)] == [bytes(8)] * 3
    stamps = [struct.unpack_from("<Q", frames, at + 56)[0] for at in range(0, len(frames), stride)]
    assert stamps == [10**18, 0, 10**18]  # positions 3 and 2


if __name__ == "__main__":  # how the golden bytes were made
    import tempfile

    control_bytes, frame_bytes, _ = write_golden(Path(tempfile.mkdtemp()))
    (GOLDEN / "v1.control.bin").write_bytes(control_bytes)
    (GOLDEN / "v1.frames.bin").write_bytes(frame_bytes)
