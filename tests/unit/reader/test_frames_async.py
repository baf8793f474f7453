"""``async for frame in reader.frames()``."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from ndsharray import NdShArray
from ndsharray._protocol.format import PINS_BYTE, WAITING_BYTE
from ndsharray.errors import ClosedError


def waiting(writer: NdShArray) -> bool:
    cells = writer._writer._holding.control.memory.bytes  # type: ignore[union-attr]
    return any(cells[WAITING_BYTE:PINS_BYTE])


def values(writer: NdShArray, *numbers: int) -> None:
    for number in numbers:
        writer.write(np.array([number]))


async def collected(frames: Any) -> list[int]:
    return [int(frame[0]) async for frame in frames]


def test_every_frame_in_order_until_the_end(name: str, transport: str) -> None:
    async def main() -> None:
        reading = asyncio.ensure_future(collected(reader.frames(timeout=20)))
        for number in range(3, 40, 3):
            while reader.frame_id < number:
                await asyncio.sleep(0)
            values(writer, number, number + 1, number + 2)
        writer.close()
        assert await reading == list(range(42))

    with NdShArray(name, r_w="w", transport=transport, slots=8) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            values(writer, 0, 1, 2)
            asyncio.run(main())
            assert reader.missed == 0


def test_a_timeout_ends_it_and_it_stays_ended(name: str, transport: str) -> None:
    async def main() -> None:
        frames = reader.frames(timeout=0.01)
        assert await collected(frames) == [1, 2]
        values(writer, 3)
        assert await collected(frames) == []
        assert list(frames) == []
        assert await collected(reader.frames(0)) == [3]

    with NdShArray(name, r_w="w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            values(writer, 1, 2)
            asyncio.run(main())


def test_both_kinds_of_loop_share_one_iterator(name: str, transport: str) -> None:
    async def main() -> None:
        frames = reader.frames(timeout=10)
        assert int(next(frames)[0]) == 1
        assert int((await frames.__anext__())[0]) == 2
        assert int(next(frames)[0]) == 3

    with NdShArray(name, r_w="w", transport=transport, slots=5) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            values(writer, 1, 2, 3)
            asyncio.run(main())


@pytest.mark.parametrize("steps", range(1, 7))
def test_it_can_be_cancelled_at_any_point_and_loses_no_frame(
    name: str, transport: str, steps: int
) -> None:
    async def main() -> None:
        got: list[int] = []

        async def read() -> None:
            async for frame in reader.frames():
                got.append(int(frame[0]))

        for number in range(4):
            task = asyncio.ensure_future(read())
            for _ in range(steps):
                await asyncio.sleep(0)
            values(writer, number)
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not waiting(writer)
        got += await collected(reader.frames(0))
        assert got == [0, 1, 2, 3]

    with NdShArray(name, r_w="w", transport=transport, slots=6) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            asyncio.run(main())


def test_an_exception_loses_no_frame(name: str, transport: str) -> None:
    async def main() -> None:
        frames = reader.frames(10)
        with pytest.raises(ZeroDivisionError):
            async for frame in frames:
                1 // (int(frame[0]) - 1)
        assert int((await frames.__anext__())[0]) == 2

    with NdShArray(name, r_w="w", transport=transport, slots=5) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            values(writer, 0, 1, 2)
            asyncio.run(main())


def test_what_read_async_refuses(name: str, transport: str) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(collected(reader.frames()))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="read_async"):
            await reader.frames().__anext__()
        with pytest.raises(RuntimeError, match="read_async"):
            next(reader.frames())
        reader.close()
        with pytest.raises(ClosedError):
            await task

    with NdShArray(name, r_w="w", transport=transport):
        with NdShArray(name, r_w="r", transport=transport) as reader:
            with pytest.raises(RuntimeError, match="asyncio"):
                reader.frames().__anext__().send(None)
            asyncio.run(main())


def test_the_iterator_keeps_its_reader_alive(name: str, transport: str) -> None:
    async def main() -> list[int]:
        return await collected(NdShArray(name, r_w="r", transport=transport).frames(0.01))

    with NdShArray(name, np.array([5]), "w", transport=transport):
        assert asyncio.run(main()) == [5]
