"""``read_async``: several readers in one event loop, cancelled at any point."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

from ndsharray import NdShArray
from ndsharray._protocol.format import PINS_BYTE, WAITING_BYTE
from ndsharray.errors import AccessError, ClosedError

LINUX = sys.platform.startswith("linux")


def waiting(writer: NdShArray) -> bool:
    control_bytes = writer._writer._holding.control.memory.bytes  # type: ignore[union-attr]
    return any(control_bytes[WAITING_BYTE:PINS_BYTE])


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "ndsharray" in thread.name]


def test_three_arrays_in_one_loop(name: str, transport: str, console: Any) -> None:
    child = console()
    child.run("import threading")
    child.run(f"ws = [NdShArray({name!r} + x, r_w='w', transport={transport!r}) for x in 'abc']")

    async def receive(which: str) -> list[int]:
        got = []
        with NdShArray(name + which, r_w="r", transport=transport) as reader:
            while len(got) < 5:
                valid, frame = await reader.read_async(timeout=20)
                assert valid
                got.append(int(frame[0]))
                answered[which].set()
        return got

    async def feed() -> int:
        beats = 0
        for value in range(5):
            for number, which in enumerate("abc"):
                answered[which].clear()
                child.begin(f"ws[{number}].write(np.full(9, {10 * value + number}))")
                while not answered[which].is_set():
                    beats += 1
                    await asyncio.sleep(0.001)
                child.result()
        return beats

    async def main() -> Any:
        answered.update({which: asyncio.Event() for which in "abc"})
        return await asyncio.gather(*(receive(which) for which in "abc"), feed())

    answered: dict[str, asyncio.Event] = {}
    *got, beats = asyncio.run(main())
    assert got == [[10 * value + number for value in range(5)] for number in range(3)]
    assert beats >= 15
    assert threads() == []
    child.run("[w.close() for w in ws]")


def test_a_timeout_and_what_comes_back(name: str, transport: str) -> None:
    async def wait_in_vain(reader: NdShArray, timeout: float) -> None:
        for _ in range(5):  # the machine may hold up one of them
            begin = time.monotonic()
            assert not (await reader.read_async(timeout))[0]
            took = time.monotonic() - begin
            assert took >= timeout
            if took < timeout + 0.3:
                return
        pytest.fail(f"a wait of {timeout} s took {took} s")

    async def main() -> None:
        first = np.arange(2)
        with NdShArray(name, first, "r", transport=transport) as reader:
            await wait_in_vain(reader, 0.1)
            assert (await reader.read_async(0))[1] is first
            with NdShArray(name, np.arange(3), "w", transport=transport) as writer:
                valid, array = await reader.read_async(5)
                assert (valid, array.tolist()) == (True, [0, 1, 2])
                await wait_in_vain(reader, 0.3)
                assert not (await reader.read_async(0))[0]
                out = np.zeros(3, int)
                writer.write(np.full(3, 4))
                assert await reader.read_async(5, out=out) == (True, out)
                assert (out == 4).all()
                writer.write(np.full(3, 5))
                valid, array = await reader.read_async(5, copy=False)
                assert not array.flags.writeable
                writer.write(np.full(3, 6))
                assert (array == 5).all()
                with pytest.raises(AccessError):
                    await writer.read_async()

    asyncio.run(main())
    assert threads() == []


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 50])
def test_it_can_be_cancelled_at_any_point(name: str, transport: str, steps: int) -> None:
    async def main() -> None:
        with NdShArray(name, np.arange(2), "w", transport=transport) as writer:
            with NdShArray(name, r_w="r", transport=transport) as reader:
                assert reader.read()[0]
                took = []
                for _ in range(10):
                    task = asyncio.ensure_future(reader.read_async())
                    for _ in range(steps):
                        await asyncio.sleep(0.0001 if steps == 50 else 0)
                    begin = time.monotonic()
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
                    took.append(time.monotonic() - begin)
                    assert threads() == []
                    assert not waiting(writer)
                    assert reader.read(0.001)[0] is False
                # Most of them: a busy machine may keep a thread waiting for longer than a nap.
                assert sorted(took)[5] < 0.2, "the thread of a cancelled read finishes its nap"
                writer.write(np.arange(3))
                assert (await reader.read_async(5))[1].tolist() == [0, 1, 2]

    asyncio.run(main())


def test_wait_for_and_a_loop_that_ends_leave_nothing(name: str, transport: str) -> None:
    reader = NdShArray(name, r_w="r", transport=transport)
    with NdShArray(name, np.arange(2), "w", transport=transport) as writer:
        assert reader.read()[0]

        async def main() -> None:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(reader.read_async(), 0.05)
            asyncio.ensure_future(reader.read_async())  # noqa: RUF006  # asyncio.run cancels it
            await asyncio.sleep(0.05)

        asyncio.run(main())
        assert threads() == []
        writer.write(np.arange(3))
        assert reader.read()[1].tolist() == [0, 1, 2]
    reader.close()


def test_a_coroutine_that_is_dropped_in_the_middle(name: str, transport: str) -> None:
    with NdShArray(name, np.arange(2), "w", transport=transport):
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert reader.read()[0]
            loop = asyncio.new_event_loop()
            try:
                coroutine = reader.read_async()

                async def begin() -> None:
                    coroutine.send(None)

                loop.run_until_complete(begin())
                if LINUX:
                    assert len(threads()) == 1
                coroutine.close()
                assert threads() == []
                assert not reader.read()[0]
            finally:
                loop.close()


def test_two_tasks_on_one_reader_are_told(name: str, transport: str) -> None:
    async def main() -> None:
        with NdShArray(name, np.arange(2), "w", transport=transport) as writer:
            with NdShArray(name, r_w="r", transport=transport) as reader:
                assert reader.read()[0]
                task = asyncio.ensure_future(reader.read_async())
                await asyncio.sleep(0.01)
                for call in (reader.read, lambda: next(reader.frames(0))):
                    with pytest.raises(RuntimeError, match="read_async"):
                        call()
                with pytest.raises(RuntimeError, match="read_async"):
                    await reader.read_async()
                writer.write(np.arange(3))
                assert (await task)[0]
                assert not reader.read()[0]

    asyncio.run(main())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_no_task_of_its_parent(name: str, transport: str) -> None:
    async def main() -> None:
        with NdShArray(name, np.arange(2), "w", transport=transport):
            with NdShArray(name, r_w="r", transport=transport) as reader:
                assert reader.read()[0]
                task = asyncio.ensure_future(reader.read_async())
                await asyncio.sleep(0.01)
                child = os.fork()
                if child == 0:
                    try:
                        os._exit(0 if reader.read()[1].tolist() == [0, 1] else 1)
                    finally:
                        os._exit(2)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
                with pytest.raises(RuntimeError, match="read_async"):
                    reader.read()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert not reader.read()[0]

    asyncio.run(main())
    assert threads() == []


def test_close_while_it_waits(name: str, transport: str) -> None:
    async def main() -> None:
        with NdShArray(name, np.arange(2), "w", transport=transport):
            reader = NdShArray(name, r_w="r", transport=transport)
            assert reader.read()[0]
            task = asyncio.ensure_future(reader.read_async())
            await asyncio.sleep(0.02)
            reader.close()
            with pytest.raises(ClosedError):
                await asyncio.wait_for(task, 1)

    asyncio.run(main())
    gc.collect()
    assert threads() == []


def test_it_waits_through_a_restart(name: str, transport: str, console: Any) -> None:
    child = console()
    child.run(f"w = NdShArray({name!r}, np.arange(2), 'w', transport={transport!r})")

    async def main() -> None:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert (await reader.read_async(10))[0]
            for end in ("w.close()", None):
                task = asyncio.ensure_future(reader.read_async(20))
                await asyncio.sleep(0.02)
                child.run(end) if end else child.kill()
                again = console() if not end else child
                again.run(f"w = NdShArray({name!r}, r_w='w', transport={transport!r})")
                again.run("w.write(np.arange(5))")
                assert (await task)[1].size == 5
            again.run("w.close()")

    asyncio.run(main())


def test_without_futexes_it_polls_in_the_loop(name: str, transport: str) -> None:
    async def main() -> None:
        with NdShArray(name, np.arange(2), "w", transport=transport) as writer:
            with NdShArray(name, r_w="r", transport=transport) as reader:
                assert (await reader.read_async(5))[0]
                waiter = reader._reader._source.cursor.waiter  # type: ignore[union-attr]
                waiter._futex = None
                task = asyncio.ensure_future(reader.read_async(5))
                await asyncio.sleep(0.05)
                assert threads() == []
                writer.write(np.arange(3))
                assert (await task)[0]

    asyncio.run(main())
