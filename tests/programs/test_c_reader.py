"""The reader in C reads what Python writes: the format is specified well enough to do so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from console import Console

from ndsharray import NdShArray

if not sys.platform.startswith("linux") or sys.maxsize < 2**32:
    pytest.skip("the reader is written for Linux, 64 bits", allow_module_level=True)

SOURCE = Path(__file__).resolve().parents[2] / "examples" / "c_reader" / "reader.c"
COMPILER = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
TIMEOUT = 60.0

pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reader, compiled."""
    out = tmp_path_factory.mktemp("c_reader") / "reader"
    strict = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O2"]
    subprocess.run([str(COMPILER), *strict, "-o", str(out), str(SOURCE)], check=True)
    return out


@pytest.fixture
def start(program: Path, transport: str) -> Iterator[Callable[..., Any]]:
    """Start readers in C; a failed test leaves none behind."""
    started: list[subprocess.Popen[str]] = []

    def start_one(name: str, *arguments: str) -> subprocess.Popen[str]:
        command = [str(program), f"--transport={transport}", *arguments, name]
        started.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
        return started[-1]

    yield start_one
    for reader in started:
        reader.kill()
        reader.communicate()


def line_of(reader: Any) -> str:
    """The next line that a reader prints."""
    line = reader.stdout.readline()
    assert line, reader.stderr.read()
    return str(line).rstrip("\n")


def rest_of(reader: Any) -> str:
    """What it prints until its end, which is a good one."""
    out, errors = reader.communicate(timeout=TIMEOUT)
    assert (reader.returncode, errors) == (0, "")
    return str(out)


def told(number: int, array: Any) -> str:
    """What the reader in C has to say about a frame."""
    dtype = array.dtype.descr if array.dtype.names else array.dtype.str
    total = int(bytes_of(array).sum(dtype=np.uint64))
    return f"frame {number}: dtype {dtype!r}, shape {array.shape!r}, sum {total}"


def bytes_of(array: Any) -> Any:
    return np.frombuffer(array.tobytes(), np.uint8)


ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.full((2, 3), 200, np.uint8),
    np.arange(50_000, dtype=np.int64),  # grows
    np.array(7.5),
    np.empty((0, 4), np.complex64),
    np.arange(24, dtype=">i2").reshape(2, 3, 4)[:, ::-1],
    np.arange(300_000, dtype=np.uint16),  # grows once more
    np.ones(3, [("a", "<i4"), ("b", "|u1", (2,))]),
    # A field whose name looks like the end of the dtype.
    np.ones(2, [(", 'fortran_order': False, 'shape': (9,), }", "<f8")]),
    np.array([True, False, True]),
]


def test_each_frame_of_changing_shape_is_told_as_it_was_written(
    name: str, transport: str, start: Callable[..., Any]
) -> None:
    reader = start(name)  # it may come first
    with NdShArray(name, r_w="w", transport=transport) as writer:
        for number, array in enumerate(ARRAYS, 1):
            writer.write(array, time_ns=number if number % 2 else None)  # which it passes by
            assert line_of(reader) == told(number, array)
    mixed = sum(len(np.unique(bytes_of(array))) > 1 for array in ARRAYS)
    counts = f"{len(ARRAYS)} frames, 0 missed, {mixed} of mixed bytes"
    assert rest_of(reader) == f"closed: {counts}\n"


def test_a_late_reader_gets_the_newest_frame(
    name: str, transport: str, start: Callable[..., Any]
) -> None:
    with NdShArray(name, r_w="w", transport=transport) as writer:
        for array in ARRAYS[:5]:
            writer.write(array)
        reader = start(name)
        assert line_of(reader) == told(5, ARRAYS[4])


@pytest.mark.parametrize("name", ["Kamera 1/左", "x" * 255])
def test_any_name_is_found(name: str, transport: str, start: Callable[..., Any]) -> None:
    with NdShArray(name, np.arange(3), "w", transport=transport):
        assert line_of(start(name)) == told(1, np.arange(3))


@pytest.mark.parametrize("given", [" ~/there ", "~/there/../there/", "  {0}/there\n"])
def test_the_root_is_found_as_python_finds_it(
    name: str,
    root: Path,
    transport: str,
    start: Callable[..., Any],
    given: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(root))
    monkeypatch.setenv("NDSHARRAY_DIR", given.format(root))
    with NdShArray(name, np.arange(3), "w", transport=transport) as writer:
        assert writer.transport.root == str(root / "there")
        assert line_of(start(name)) == told(1, np.arange(3))
    (root / "there").rmdir()


def test_the_home_of_a_user_is_found(
    name: str, root: Path, start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By going up from there: what is in that home is not ours to touch."""
    pwd = pytest.importorskip("pwd")
    user = pwd.getpwuid(os.getuid())
    up = "/".join([".."] * len(Path(user.pw_dir).resolve().parts))
    monkeypatch.setenv("NDSHARRAY_DIR", f"~{user.pw_name}/{up}{root}")
    reader = start(name)
    transport = "mmap" if "--transport=mmap" in reader.args else "posix_shm"
    with NdShArray(name, np.arange(3), "w", transport=transport) as writer:
        assert writer.transport.root == str(root)
        assert line_of(reader) == told(1, np.arange(3))


@pytest.mark.parametrize("given", ["root", "./root", "~nobody-of-that-name/root"])
def test_a_relative_root_is_refused(
    name: str, start: Callable[..., Any], given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NDSHARRAY_DIR", given)
    reader = start(name)
    assert "NDSHARRAY_DIR: not an absolute path" in reader.communicate(timeout=TIMEOUT)[1]
    assert reader.returncode == 1


def test_it_goes_on_with_the_writer_that_takes_over_from_a_killed_one(
    name: str, transport: str, start: Callable[..., Any], console: Callable[..., Console]
) -> None:
    reader, first = start(name), console()
    first.run(f"w = NdShArray({name!r}, r_w='w', transport={transport!r})")
    first.run("w.write(np.arange(5))")
    assert line_of(reader) == told(1, np.arange(5))
    first.kill()
    with NdShArray(name, r_w="w", transport=transport) as second:
        second.write(np.arange(9.0))
        assert line_of(reader) == told(2, np.arange(9.0))


def test_another_format_is_refused(
    name: str, root: Path, transport: str, start: Callable[..., Any]
) -> None:
    with NdShArray(name, np.arange(3), "w", transport=transport):
        place = root if transport == "mmap" else Path("/dev/shm")
        (control,) = (path for path in place.glob("nd" + "[0-9a-f]" * 16) if name in text_of(path))
        with control.open("r+b") as file:
            file.seek(8)
            file.write(b"\2")
        reader = start(name)
        assert "not an array of format 1" in reader.communicate(timeout=TIMEOUT)[1]
        assert reader.returncode == 1


def text_of(path: Path) -> str:
    return path.read_bytes().decode("latin1")


def test_no_frame_is_mixed_while_a_writer_floods(
    name: str, transport: str, start: Callable[..., Any]
) -> None:
    frames = [np.full((480, 640, 3), value, np.uint8) for value in range(16)]
    expected = [told(0, frame) for frame in frames]
    with NdShArray(name, frames[0], "w", transport=transport) as writer:
        reader = start(name)
        assert line_of(reader) == told(1, frames[0])  # it has begun
        count = 1
        end = time.monotonic() + 1
        while time.monotonic() < end:
            writer.write(frames[count % 16])
            count += 1
    *lines, last = rest_of(reader).splitlines()
    words = last.split()
    assert words[0] == "closed:"
    seen, missed, mixed = (int(words[i]) for i in (1, 3, 5))
    assert mixed == 0
    assert seen == 1 + len(lines) >= 10
    assert seen + missed == count
    for line in lines:
        number = int(line.split()[1].rstrip(":"))
        assert line == expected[(number - 1) % 16].replace("frame 0", f"frame {number}")
