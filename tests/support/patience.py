"""Waiting in a test for what another thread or process does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 60.0  # seconds; emulated processes are slow

Found = TypeVar("Found")


def until(condition: Callable[[], Found], what: str, patience: float = PATIENCE) -> Found:
    """Wait until a condition holds, and return what it gave; a failure says `what` never came."""
    pause, end = threading.Event(), time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < end, f"never: {what}"
        pause.wait(0.001)
    return found
