"""``read(max_age=)``: an older frame does not count as new."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import numpy as np
import pytest

from ndsharray import NdShArray
from ndsharray._system import clock


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that lets seconds pass on the clock of the frames."""
    now, passed = clock.now_ns, [0]
    monkeypatch.setattr(clock, "now_ns", lambda: now() + passed[0])

    def later(seconds: float) -> None:
        passed[0] += int(seconds * 1e9)

    return later


@pytest.mark.parametrize("how", ["copy", "in place", "out"])
def test_an_old_frame_does_not_count_as_new(
    name: str, transport: str, later: Any, how: str
) -> None:
    more: Any = {"copy": {}, "in place": {"copy": False}, "out": {"out": np.zeros(3, int)}}[how]
    with NdShArray(name, r_w="w", transport=transport) as writer:
        with NdShArray(name, np.full(3, 9), "r", transport=transport) as reader:
            for value in range(3):
                writer.write(np.full(3, value))
                assert reader.read(max_age=10, **more)[0], "it is young"
                assert not reader.read(max_age=10, **more)[0]
                writer.write(np.full(3, 10 + value))
                later(11)
                before = reader.frame_id
                for _ in range(2):
                    valid, array = reader.read(max_age=10, **more)
                    assert (valid, array.tolist()) == (False, [value] * 3)
                assert reader.frame_id == before
                valid, array = reader.read(**more)
                assert (valid, array.tolist()) == (True, [10 + value] * 3), "it is still there"
            writer.write(np.full(3, 5))
            later(1e8)
            assert reader.read(max_age=float("inf"), **more)[0]


def test_a_read_waits_for_a_young_one(name: str, transport: str, later: Any) -> None:
    with NdShArray(name, np.zeros(3), "w", transport=transport) as writer:
        later(5)
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert not reader.read(0.05, max_age=1)[0]
            timer = threading.Timer(0.05, writer.write, (np.ones(3),))
            timer.start()
            valid, array = reader.read(20, max_age=1)
            timer.join()
            assert (valid, array.tolist()) == (True, [1, 1, 1])


def test_what_a_killed_writer_left_until_the_next_one_comes(
    name: str, transport: str, console: Any, later: Any
) -> None:
    child = console()
    child.run(f"w = NdShArray({name!r}, np.arange(3), 'w', transport={transport!r})")
    child.kill()
    with NdShArray(name, r_w="r", transport=transport) as reader:
        later(60)
        assert not reader.read(max_age=2.5)[0]
        with NdShArray(name, np.ones(1), "w", transport=transport) as writer:
            assert reader.read(10, max_age=2.5)[0]
            writer.write(np.ones(2))
            later(60)
            writer.close()
            assert not reader.read(max_age=2.5)[0]
        with NdShArray(name, np.full(2, 7), "w", transport=transport):
            assert reader.read(10, max_age=2.5)[1].tolist() == [7, 7]


def test_in_a_task(name: str, transport: str, later: Any) -> None:
    async def main() -> Any:
        assert not (await reader.read_async(0, max_age=1))[0]
        asyncio.get_running_loop().call_later(0.01, writer.write, np.ones(3))
        return await reader.read_async(20, max_age=1)

    with NdShArray(name, np.zeros(3), "w", transport=transport) as writer:
        later(5)
        with NdShArray(name, r_w="r", transport=transport) as reader:
            valid, array = asyncio.run(main())
            assert (valid, array.tolist()) == (True, [1, 1, 1])


def test_a_refusal_costs_no_more_than_a_few_looks(name: str, transport: str, later: Any) -> None:
    with NdShArray(name, np.zeros(3), "w", transport=transport):
        later(5)
        with NdShArray(name, r_w="r", transport=transport) as reader:
            side: Any = reader._reader._source.cursor.side  # type: ignore[union-attr]
            reader.read(max_age=1)
            looks = []
            head = type(side).head
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(type(side), "head", lambda *given: looks.append(1) or head(*given))
                assert not reader.read(max_age=1)[0]
            assert len(looks) == 1


def test_arguments(name: str, transport: str) -> None:
    with NdShArray(name, np.zeros(3), "w", transport=transport):
        with NdShArray(name, r_w="r", transport=transport) as reader:
            for bad, kind in ((-1, ValueError), (float("nan"), ValueError), ("1", TypeError)):
                with pytest.raises(kind, match="max_age"):
                    reader.read(max_age=bad)  # type: ignore[arg-type]
            assert not reader.read(max_age=0)[0], "every frame has some age"
            assert reader.read(max_age=1000)[0]
