"""iceoryx2's publish-subscribe from Python, as in its example `publish_subscribe_dynamic_data`.

The payload is a slice of bytes: loan, copy in, send; receive, copy out. A buffer of one sample with
safe overflow, so that a reader receives the newest; a history of one for a reader that comes later.
The shape is known to both sides and not sent: the least work for it. Where readers wait, an event
service beside it, as in its example `event_based_communication`.
"""

from __future__ import annotations

import ctypes
import functools
import math
import os
import time
from typing import Any

import iceoryx2 as iox2
import numpy as np

from .base import Array, Place


@functools.cache
def node(root: str) -> Any:
    """Return the process's node; everything it makes bears the run's name."""
    iox2.set_log_level(iox2.LogLevel.Error)
    config = iox2.config.default()
    config.global_cfg.root_path = iox2.Path.new(os.path.join(root, "iceoryx2"))
    config.global_cfg.prefix = iox2.FileName.new(os.path.basename(root) + "_")
    return iox2.NodeBuilder.new().config(config).create(iox2.ServiceType.Ipc)


def service(place: Place) -> Any:
    builder = node(place.root).service_builder(iox2.ServiceName.new(place.name))
    return (
        builder.publish_subscribe(iox2.Slice[ctypes.c_uint8])
        .enable_safe_overflow(True)
        .subscriber_max_buffer_size(1)
        .history_size(1)
        .max_subscribers(max(8, place.readers))
        .max_nodes(max(20, place.readers + 2))
        .open_or_create()
    )


def event(place: Place) -> Any:
    builder = node(place.root).service_builder(iox2.ServiceName.new(place.name))
    return builder.event().open_or_create()


class Writer:
    """Loans, copies, sends."""

    def __init__(self, place: Place, array: Array, **_: Any) -> None:
        builder = service(place).publisher_builder().initial_max_slice_len(array.nbytes)
        self._publisher = builder.allocation_strategy(iox2.AllocationStrategy.PowerOfTwo).create()
        self._notifier = event(place).notifier_builder().create() if place.waiting else None

    def write(self, array: Array) -> None:
        sample = self._publisher.loan_slice_uninit(array.nbytes)
        memory = np.frombuffer(sample.payload().as_memory_view(), array.dtype)
        np.copyto(memory.reshape(array.shape), array)
        sample.assume_init().send()
        if self._notifier is not None:
            self._notifier.notify()

    def close(self) -> None:
        self._publisher.delete()
        if self._notifier is not None:
            self._notifier.delete()


class Reader:
    """Receives, copies out; with ``copy=False`` gives the sample's memory until the next read."""

    def __init__(self, place: Place, array: Array, copy: bool = True) -> None:
        self._subscriber = service(place).subscriber_builder().buffer_size(1).create()
        self._listener = event(place).listener_builder().create() if place.waiting else None
        self._copy, self._dtype = copy, array.dtype
        self._sample: Any = None
        self._shapes = {math.prod(array.shape): array.shape}

    def read(self) -> Array | None:
        sample = self._subscriber.receive()
        if sample is None:
            return None
        array = np.frombuffer(sample.payload().as_memory_view(), self._dtype)
        array = array.reshape(self._shapes.get(array.size, (-1,)))
        if self._copy:
            return array.copy()
        self._sample = sample  # the view does not hold it, and its memory goes with it
        return array

    def wait(self, timeout: float) -> Array | None:
        assert self._listener is not None
        deadline = time.monotonic() + timeout
        while (array := self.read()) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self._listener.timed_wait(iox2.Duration.from_secs_f64(left))
        return array

    def close(self) -> None:
        self._sample = None
        self._subscriber.delete()
        if self._listener is not None:
            self._listener.delete()
