"""What a type checker says of programs that use the library."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
import numpy as np
from numpy.typing import NDArray
import ndsharray
from ndsharray import FrameSet, NdShArray, ReadSet
from ndsharray.read_set import Counts

writer = NdShArray("a", r_w="w")
writer = NdShArray("a", np.zeros(3), "w", slots=5)
writer = NdShArray("a", array=np.zeros(3), r_w="W", transport="mmap")
reader = NdShArray("a", r_w="r")
NdShArray("a")  # error: overload
NdShArray("a", np.zeros(3))  # error: overload
NdShArray("a", "r")  # error: overload
NdShArray("a", r_w="x")  # error: overload
NdShArray("a", np.zeros(3), None)  # error: overload

with writer.loan((2, 3), np.float32) as frame:
    reveal_type(frame)  # note: float
    frame[0, 0] = 1
with writer.loan(dtype=np.uint8) as frame8:
    reveal_type(frame8)  # note: uint8|unsignedinteger\\[.*8
with writer.loan(3, np.dtype(np.int16)) as frame16:
    reveal_type(frame16)  # note: int16|signedinteger\\[.*16
with (loan := writer.loan()) as any_frame:
    reveal_type(any_frame)  # note: ndarray\\[.*Any
    loan.time_ns = 5
    loan.time_ns = "now"  # error: Incompatible
with writer.loan(3, "f4", time_ns=5) as named:
    reveal_type(named)  # note: ndarray\\[.*Any
writer.write(np.zeros(3), time_ns=5)
writer.write(np.zeros(3), 5)  # error: positional
iterator: Iterator[NDArray[Any]] = reader.frames()
asynchronous: AsyncIterator[NDArray[Any]] = reader.frames()
for one in reader.frames():
    reveal_type(one)  # note: ndarray\\[.*Any

async def main() -> None:
    async for one in reader.frames(timeout=1.0):
        reveal_type(one)  # note: ndarray\\[.*Any

reveal_type(ndsharray.wait([reader], 1.0))  # note: list\\[.*NdShArray\\]
reveal_type(reader.time_ns + reader.write_time_ns)  # note: int
valid, array = reader.read(1.0, max_age=0.5)
reveal_type(valid)  # note: bool
reveal_type(reader.writer_state)  # note: Literal\\['absent'

readers = ReadSet({"left": "a"}, policy="latest", offsets={"left": 0.5})
ReadSet(["a"], policy="first")  # error: policy
counts: dict[str, Counts] = readers.counts
sets: Iterator[FrameSet] = readers.sets()
asynchronous_sets: AsyncIterator[FrameSet] = readers.sets()
if (found := readers.read(1.0)) is not None:
    reveal_type(found["left"])  # note: ndarray\\[.*Any
    reveal_type(found.left)  # note: ndarray\\[.*Any
    reveal_type(found.times_ns["left"])  # note: int
"""


def test_a_type_checker_finds_a_missing_role_and_knows_what_comes_back(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf8")
    package = Path(__file__).parents[2]
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "program.py"]
    ended = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(package)},
        capture_output=True,
        text=True,
        check=False,
    )
    said: dict[int, str] = {}
    for line in ended.stdout.splitlines():
        found = re.match(r"program\.py:(\d+): (error|note): (.*)", line)
        if found and int(found[1]) not in said:
            said[int(found[1])] = f"{found[2]}: {found[3]}"
    wanted = {
        number: line.split("  # ")[1]
        for number, line in enumerate(PROGRAM.splitlines(), 1)
        if "  # " in line
    }
    assert set(said) == set(wanted), ended.stdout + ended.stderr
    for number, expected in wanted.items():
        kind, _, pattern = expected.partition(": ")
        assert said[number].startswith(kind), said[number]
        assert re.search(pattern, said[number]), said[number]
