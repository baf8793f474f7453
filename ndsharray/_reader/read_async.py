"""A read in a task of an event loop: the reader is the task's until it ends.

Not here: how a task sleeps (``waiting``), nor the read itself (``reader``, whose private parts this
uses).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy.typing as npt

from .._system import at_exit
from .._system.foreign import require_asyncio
from ..errors import ClosedError
from .delivery import Delivery
from .reader import Reader, deadline
from .source import NOTHING, Outcome, Source

__all__ = ["read_async"]

_Look = Callable[[Source, Delivery], Outcome]


async def read_async(
    reader: Reader,
    delivery: Delivery,
    timeout: float | None,
    look: _Look = Source.newest,
) -> tuple[bool, npt.NDArray[Any]]:
    """Deliver a frame as `Reader.read` does, while the event loop runs other tasks."""
    require_asyncio()
    try:
        return await _read_async(reader, delivery, timeout, look)
    except ClosedError:
        if reader._left and at_exit.in_daemon():
            from .._system.wait_async import stop_task

            await stop_task()  # other tasks of the loop may have to end something
        raise


async def _read_async(
    reader: Reader, delivery: Delivery, timeout: float | None, look: _Look
) -> tuple[bool, npt.NDArray[Any]]:
    outcome = NOTHING

    def noted(source: Source, delivery: Delivery) -> Outcome:
        nonlocal outcome
        outcome = look(source, delivery)
        return outcome

    if reader._task is not None:
        reader._refuse_beside_task()
    task = object()
    waiting = reader._waiting
    try:
        reader._task = task
        waiting.forget_async()  # of a task that was interrupted at its end
        end = deadline(timeout)
        while True:
            found = reader.read(delivery, look=noted, task=task)
            left = end - time.monotonic()
            if outcome is not NOTHING or left <= 0:
                return found
            await waiting.sleep_async(reader._source.cursor, left)
    finally:
        if reader._task is task:  # in a forked child it may be another one
            reader._task = None
            waiting.end_async()
            if reader.closed:
                reader.close(asked=True)
