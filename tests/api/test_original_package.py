"""Code for the original package, and each difference that the README lists."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from console import Failed

import ndsharray
from ndsharray import AccessError, NdShArray, WriterExistsError, supported_types


def test_its_readme_example(name: str, console: Any) -> None:
    other = console()
    shared_array = NdShArray(name, r_w="w")
    my_array = np.random.random((400, 800))
    shared_array.write(my_array)
    other.run(f"shared_array = NdShArray({name!r}, r_w='r')")
    status, total = other.run("(lambda pair: (pair[0], float(pair[1].sum())))(shared_array.read())")
    assert status is True
    assert total == my_array.sum()
    del shared_array


def test_its_two_consoles(name: str, console: Any) -> None:
    first, second = console(), console()
    first.run("my_array = np.random.random((4, 2))")
    first.run(f"shared_array = ndsharray.NdShArray({name!r}, array=my_array, r_w='w')")
    assert first.run("shared_array.name") == name
    assert first.run("shared_array.access") == "w"
    before = first.run("shared_array.ndarray_mmap_name")

    second.run(f"_shared_array = ndsharray.NdShArray({name!r}, r_w='r')")
    second.run("status, my_array = _shared_array.read()")
    assert second.run("status") is True
    assert second.run("_shared_array.read_time_ms") > 0
    assert second.run("my_array.tolist()") == first.run("my_array.tolist()")

    first.run("my_int_array = (255 * np.random.random((6, 3))).astype(np.uint8)")
    first.run("shared_array.write(my_int_array)")
    after = first.run("shared_array.ndarray_mmap_name")
    assert before != after

    second.run("status, my_array_2 = _shared_array.read()")
    assert second.run("status") is True
    assert second.run("_shared_array.ndarray_mmap_name") == after
    assert second.run("my_array_2.tolist()") == first.run("my_int_array.tolist()")
    assert second.run("[str(_dtype) for _dtype in ndsharray.supported_types]") == [
        str(each) for each in supported_types
    ]


def test_its_server_and_client_loops(name: str, console: Any) -> None:
    server, client = console(), console()
    server.run("_shape_vid, _shape_bigdata = (720, 1280, 3), (3000, 5000)")
    server.run(f"shared_array = NdShArray({name!r}, r_w='w')")
    client.run(f"shared_array = NdShArray({name!r}, r_w='r')")
    for step in range(8):
        shape = "_shape_vid" if step % 8 < 4 else "_shape_bigdata"
        server.run(f"array = np.full({shape}, {step}, np.uint8)")
        server.run("shared_array.write(array)")
        client.run("valid, array = shared_array.read()")
        assert client.run("valid") is True
        assert client.run("int(np.sum(array))") == server.run("int(np.sum(array))")
        assert client.run("array.shape") == server.run("array.shape")
        client.run("valid, array = shared_array.read()")
        assert client.run("valid") is False


def test_its_test_suites_ping_pong(name: str, console: Any) -> None:
    other = console()
    writer = NdShArray(name, r_w="w")
    other.run(f"_nds_read = NdShArray({name!r}, r_w='r')")
    other.run(f"_nds_write = NdShArray({name + '_copy'!r}, r_w='w')")
    reader = NdShArray(name + "_copy", r_w="r")
    for size in [(72, 128), (3,) * 12, (24, 48, 3, 6)]:
        for kind in supported_types:
            array = (np.random.random(size) * 255).astype(kind)
            reader.read()
            writer.write(array)
            assert other.run("(lambda r: (_nds_write.write(r[1]), r[0])[1])(_nds_read.read())")
            status, copy = reader.read()
            assert status
            assert np.array_equal(array, copy)
    del writer, reader


def test_positional_arguments_in_its_order(name: str) -> None:
    with NdShArray(name, np.zeros(3), "w") as writer, NdShArray(name, np.zeros(1), "r") as reader:
        assert reader.read()[0]
        assert writer.access == "w"


def test_its_module_path() -> None:
    from ndsharray import ndsharray as module

    assert module.NdShArray is NdShArray
    assert module.supported_types is ndsharray.supported_types


@pytest.mark.parametrize("first", ["w", "r"])
def test_del_cleans_up(name: str, root: Path, first: str) -> None:
    if first == "w" and os.name == "nt":
        pytest.skip("Windows removes no file that a reader maps: a later writer does")
    sides = {"w": NdShArray(name, np.zeros(3), "w"), "r": NdShArray(name, r_w="r")}
    del sides[first]
    del sides
    assert os.listdir(root) == []


# --- the differences; each row of the README's table


def test_difference_a_reader_may_start_first(name: str) -> None:
    with NdShArray(name, r_w="r") as reader:
        assert not reader.is_valid
        with NdShArray(name, np.arange(2), "w"):
            assert reader.is_valid
            assert reader.read()[1].tolist() == [0, 1]


def test_difference_a_second_living_writer_is_refused(name: str, console: Any) -> None:
    other = console()
    with NdShArray(name, r_w="w") as first:
        with pytest.raises(Failed, match="WriterExistsError"):
            other.run(f"NdShArray({name!r}, r_w='w')")
        with NdShArray(name, r_w="w"):  # within one process the newest takes over
            assert first.closed
    other.run(f"w = NdShArray({name!r}, r_w='w')")
    with pytest.raises(WriterExistsError):
        NdShArray(name, r_w="w")


def test_difference_roles_are_checked(name: str) -> None:
    with NdShArray(name, np.zeros(2), "w") as writer, NdShArray(name, r_w="r") as reader:
        with pytest.raises(AccessError):
            writer.read()
        with pytest.raises(AccessError):
            reader.write(np.zeros(2))


def test_difference_arrays_are_the_callers_own(name: str) -> None:
    with NdShArray(name, np.zeros(2), "w"), NdShArray(name, r_w="r") as reader:
        _, array = reader.read()
        array[:] = 5


def test_difference_nothing_is_left(name: str, root: Path) -> None:
    with NdShArray(name, np.zeros(2), "w") as writer:
        for size in range(100, 2000, 100):
            writer.write(np.zeros(size))
            assert len(os.listdir(root)) == 3  # lock file, control segment, one frame segment
    assert os.listdir(root) == []


def test_difference_nothing_is_published_before_the_first_write(name: str) -> None:
    with NdShArray(name, r_w="w"), NdShArray(name, r_w="r") as reader:
        assert not reader.is_valid
        assert not reader.read()[0]


def test_difference_more_dtypes(name: str) -> None:
    with NdShArray(name, r_w="w") as writer, NdShArray(name, r_w="r") as reader:
        for array in (np.zeros(2, "M8[s]"), np.zeros(2, ">i4"), np.zeros(2, "i4,f8")):
            writer.write(array)
            assert reader.read()[1].dtype == array.dtype


def test_difference_the_time_of_a_read_is_real(name: str) -> None:
    with NdShArray(name, r_w="w") as writer, NdShArray(name, r_w="r") as reader:
        before = time.perf_counter()
        writer.write(np.zeros(2))
        reader.read()
        assert 0 < reader.read_time_ms <= (time.perf_counter() - before) * 1000
