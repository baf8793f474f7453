"""Arrays as other libraries make them, and what of a dtype arrives.

Libraries note things about a dtype in its *metadata* (h5py: this is text, an enumeration), use
record types (pandas), and nest messages (robots). What arrives is plain, and equal.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from ndsharray import NdShArray
from ndsharray._protocol.layout import Layout, decode_layout

Sides = tuple[NdShArray, NdShArray]


@pytest.fixture
def sides(name: str, transport: str) -> Iterator[Sides]:
    with NdShArray(name, r_w="w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            yield writer, reader


def noted(dtype: Any) -> np.dtype[Any]:
    """Return the dtype with metadata that can be neither copied nor written down."""
    return np.dtype(dtype, metadata={"note": threading.Lock()})


def has_metadata(dtype: np.dtype[Any]) -> bool:
    if dtype.metadata:
        return True
    if dtype.subdtype is not None:
        return has_metadata(dtype.subdtype[0])
    return any(has_metadata(dtype[name]) for name in dtype.names or ())


def assert_arrives(sides: Sides, array: Any) -> None:
    """Written, lent and read, again and again: one layout, and a plain dtype equal to its own."""
    writer, reader = sides
    names = set()
    for _ in range(2):
        writer.write(array)
        valid, found = reader.read()
        assert valid
        assert type(found) is np.ndarray
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert (found == array).all()
        assert not has_metadata(found.dtype)
        with writer.loan(array.shape, array.dtype) as frame:
            assert frame.dtype == array.dtype
            assert not has_metadata(frame.dtype)
            frame[...] = array
        valid, found = reader.read(copy=False)
        assert valid
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert (found == array).all()
        out = np.empty(array.shape, array.dtype)
        with writer.loan() as frame:
            frame[...] = array
        assert reader.read(out=out)[0]
        assert (out == array).all()
        names |= {writer.ndarray_mmap_name, reader.ndarray_mmap_name}
    assert len(names) == 1


INNER = np.dtype([("x", noted("u1")), ("y", "f4")])
NOTED = {
    "element": noted("u1"),
    "date": noted("M8[us]"),
    "field": np.dtype([("id", "i4"), ("name", noted("S8"))]),
    "text": np.dtype([("id", "i4"), ("name", noted("U8"))]),
    "whole": np.dtype([("id", "i4")], metadata={"note": 1}),
    "nested": np.dtype([("inner", INNER), ("last", "f8")]),
    "subarray": np.dtype([("several", noted(">i2"), (2, 3)), ("last", "u1")]),
    "subarray of nested": np.dtype([("first", "u1"), ("several", INNER, (2,))]),
    "subarray of subarrays": np.dtype([("deep", np.dtype((INNER, (2,))), (3,))]),
    "padded": np.dtype(
        {"names": ["a", "b"], "formats": [noted("u1"), "f8"], "offsets": [3, 16], "itemsize": 40}
    ),
    "aligned": np.dtype([("a", noted("u1")), ("b", "f8")], align=True),
    "titled": np.dtype([(("a title", "a"), noted("u1")), ("b", "f8")]),
}


@pytest.mark.parametrize("kind", NOTED)
def test_metadata_is_dropped_at_any_depth(sides: Sides, kind: str) -> None:
    array = np.frombuffer(bytes(3 * NOTED[kind].itemsize), NOTED[kind])
    assert has_metadata(array.dtype)
    assert_arrives(sides, array)


@pytest.mark.parametrize("dtype", ["u1", "M8[us]", ">f4"])
def test_an_array_with_metadata_makes_later_ones_no_slower(sides: Sides, dtype: str) -> None:
    writer, _ = sides
    writer.write(np.zeros(3, noted(dtype)))
    plain = np.zeros(3, dtype)
    assert writer._writer.layout.dtype == plain.dtype  # type: ignore[union-attr]
    if dtype == "u1":  # which numpy has one object for
        assert writer._writer.layout.dtype is plain.dtype  # type: ignore[union-attr]


def test_offsets_and_titles_arrive_flags_and_record_types_do_not() -> None:
    aligned = np.dtype([("a", "u1"), ("b", [("c", "u1"), ("d", "f8")])], align=True)
    titled = np.dtype([(("a title", "a"), "u1"), ((7, "b"), "f8")])
    record = np.rec.array([(1, 2.0)], dtype=[("a", "u1"), ("b", "f8")]).dtype
    found = {}
    for kind, dtype in {"aligned": aligned, "titled": titled, "record": record}.items():
        layout = Layout.of_shape(dtype, (3,))
        found[kind] = decode_layout(layout.uuid, layout.header, layout.nbytes).dtype
        assert found[kind] == layout.dtype == dtype
    assert aligned.isalignedstruct
    assert not found["aligned"].isalignedstruct
    fields = found["aligned"].fields
    assert fields is not None
    assert [fields[name][1] for name in "ab"] == [aligned.fields[name][1] for name in "ab"]  # type: ignore
    assert found["titled"].fields == titled.fields
    assert record.type is np.record
    assert found["record"].type is np.void


def test_objects_as_titles_are_refused(sides: Sides) -> None:
    titled = np.dtype({"names": ["a"], "formats": ["i4"], "titles": [threading.Lock()]})
    with pytest.raises(NotImplementedError, match="cannot be shared"):
        sides[0].write(np.zeros(3, titled))


# Text


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3,), (2, 3)])
@pytest.mark.parametrize("dtype", ["S5", "U5", ">U5", "<U1"])
def test_the_error_about_text_names_what_works(
    sides: Sides, dtype: str, shape: tuple[int, ...]
) -> None:
    writer, reader = sides
    array = np.full(shape, "abcde", dtype)
    for call in (lambda: writer.write(array), lambda: writer.loan(shape, dtype)):
        with pytest.raises(NotImplementedError) as caught:
            call()
        message = str(caught.value)
    there = message[message.index("array.view(") : message.index(", which a reader")]
    back = message[message.index("text.view(") : message.index("; or as a field")]
    if shape == ():  # numpy cannot view one element as several
        array = array.reshape(1)
    writer.write(eval(there, {"np": np, "array": array}))
    text = reader.read()[1]
    found = eval(back, {"text": text})
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert (found == array).all()


# h5py: text, enumerations and bools have metadata


def test_what_h5py_reads(sides: Sides) -> None:
    h5py = pytest.importorskip("h5py")
    state = h5py.enum_dtype({"off": 0, "on": 1}, "u1")
    dtypes = {
        "utf-8": [("id", "i4"), ("name", h5py.string_dtype("utf-8", 8))],
        "ascii": [("id", "i4"), ("name", "S8")],
        "enumeration": [("state", state), ("x", "f4")],
        "bool": [("b", "?"), ("x", "f4")],
        "complex": [("z", "c8")],
        "several": [("s", (state, (3,))), ("t", ("S4", (2, 2)))],
        "nested": [("inner", [("name", "S8"), ("state", state)]), ("pose", "f8", (3, 3))],
        "alone": state,
        "numbers": "f4",
    }
    with h5py.File("in memory", "w", driver="core", backing_store=False) as file:
        for kind, dtype in dtypes.items():
            whole = np.zeros(4, dtype)
            if kind in ("utf-8", "ascii"):
                whole["name"] = [b"one", b"", b"three", b"\xc3\xa9"]
            file.create_dataset(kind, data=whole, dtype=np.dtype(dtype))
            assert_arrives(sides, file[kind][:])
            assert_arrives(sides, file[kind][1:3])
            assert has_metadata(file[kind].dtype) == (kind not in ("bool", "complex", "numbers"))


def test_each_read_of_a_dataset_is_the_same_layout(sides: Sides) -> None:
    h5py = pytest.importorskip("h5py")
    writer, reader = sides
    with h5py.File("in memory", "w", driver="core", backing_store=False) as file:
        data = np.zeros(4, [("id", "i4"), ("name", "S8")])
        file.create_dataset("table", data=data)
        names = set()
        for _ in range(5):
            writer.write(file["table"][:])
            assert reader.read()[0]
            names.add(reader.ndarray_mmap_name)
        assert len(names) == 1


# pandas


def test_records_of_a_table(sides: Sides) -> None:
    pd = pytest.importorskip("pandas")
    times = pd.date_range("2024-01-01", periods=4, freq="h")
    table = pd.DataFrame(
        {
            "count": np.arange(4, dtype="i8"),
            "small": np.arange(4, dtype="u1"),
            "value": np.linspace(0, 1, 4),
            "good": [True, False, True, False],
            "time": times,
            "wait": times - times[0],
        }
    )
    assert_arrives(sides, table.to_records())  # with its index
    assert_arrives(sides, table.to_records(index=False))
    assert_arrives(sides, table.set_index("time").to_records())
    assert_arrives(sides, table[["count", "value"]].to_records(index=False)[::2])
    assert_arrives(sides, table["value"].to_numpy())
    sides[0].write(table.to_records(index=False))
    assert pd.DataFrame.from_records(sides[1].read()[1]).equals(table)


def test_text_in_a_table_is_refused_with_the_cure(sides: Sides) -> None:
    pd = pytest.importorskip("pandas")
    writer, reader = sides
    table = pd.DataFrame({"count": [1, 2], "who": ["Ann", "Bo"]}, index=pd.Index(["é", "b"]))
    records = table.to_records()
    with pytest.raises(NotImplementedError, match=r"column_dtypes=.*'who': 'U20'.*index_dtypes="):
        writer.write(records)
    with pytest.raises(NotImplementedError, match="column_dtypes="):
        writer.loan(2, records.dtype)
    records = table.to_records(column_dtypes={"who": "U20"}, index_dtypes="U20")
    assert_arrives(sides, records)
    writer.write(records)
    assert reader.read()[1].tolist() == [("é", 1, "Ann"), ("b", 2, "Bo")]
    bare = table.reset_index(drop=True)
    assert_arrives(sides, bare.to_records(index=False, column_dtypes={"who": "S20"}))


# Messages of robots: nested headers, names of fixed size, arrays of parts


def test_nested_messages(sides: Sides) -> None:
    stamp = np.dtype([("sec", "<i4"), ("nanosec", "<u4")])
    header = np.dtype([("seq", "<u4"), ("stamp", stamp), ("frame_id", "S16")])
    point = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("intensity", "<f4")])
    cloud = np.dtype(
        {
            "names": ["header", "height", "points", "is_dense"],
            "formats": [header, "<u4", (point, (2, 5)), "?"],
            "offsets": [0, 28, 32, 192],
            "itemsize": 208,
        }
    )
    for dtype in (header, point, cloud, np.dtype([("clouds", cloud, (2,))], align=True)):
        for shape in ((), (3,), (2, 2)):
            assert_arrives(sides, np.zeros(shape, dtype))
    message = np.zeros((), cloud)
    message["header"]["stamp"]["sec"] = 1_700_000_000
    message["header"]["frame_id"] = b"lidar_front"
    message["points"]["z"] = np.arange(10).reshape(2, 5)
    sides[0].write(message)
    found = sides[1].read()[1]
    assert found["header"]["frame_id"] == b"lidar_front"
    assert found["points"]["z"][1, 4] == 9
    # Points as drivers give them: fields at offsets, with holes between.
    sparse = np.dtype(
        {"names": ["x", "ring"], "formats": ["<f4", "<u2"], "offsets": [0, 20], "itemsize": 32}
    )
    assert_arrives(sides, np.zeros(7, sparse))
    assert_arrives(sides, np.zeros(7, sparse)[["ring"]])
