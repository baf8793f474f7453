"""eclipse-zenoh: two peers on a Unix socket, payloads in its shared memory.

A buffer of its `ShmProvider` for each frame, as in its example `z_pub_shm`; from Python it can be
filled from bytes only, so a frame is copied twice. The reader takes from a ring of one, which keeps
the newest (`z_pull`), and copies out with `to_bytes`, the one way that Python has. Shape and dtype
are known to both sides and not sent. Scouting is off: nothing outside this machine is asked.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

import numpy as np
import zenoh

from .base import Array, Place

_sessions: dict[tuple[str, int], Any] = {}


def session(place: Place) -> Any:
    """Return the process's session for that side: side 0 listens, side 1 connects."""
    key = place.root, place.side
    if key not in _sessions:
        _sessions[key] = zenoh.open(config(place))
    return _sessions[key]


def config(place: Place) -> Any:
    made = zenoh.Config()
    endpoint = "unixsock-stream/" + os.path.join(place.root, place.name.rsplit("-", 1)[0])
    made.insert_json5("mode", '"peer"')
    made.insert_json5("scouting/multicast/enabled", "false")
    made.insert_json5("listen/endpoints", json.dumps([] if place.side else [endpoint]))
    made.insert_json5("connect/endpoints", json.dumps([endpoint] if place.side else []))
    made.insert_json5("transport/shared_memory/enabled", "true")
    return made


class Writer:
    """Allocates, copies twice, puts; the pool has room for some frames and their padding."""

    def __init__(self, place: Place, array: Array, **_: Any) -> None:
        wait = zenoh.CongestionControl.BLOCK  # by default a full queue drops the newest frame
        self._publisher = session(place).declare_publisher(place.name, congestion_control=wait)
        self._provider = zenoh.shm.ShmProvider.default_backend(4 * array.nbytes + (1 << 16))
        self._policy = zenoh.shm.BlockOn(zenoh.shm.GarbageCollect())
        self.close = self._publisher.undeclare

    def write(self, array: Array) -> None:
        buffer = self._provider.alloc(array.nbytes, policy=self._policy)
        buffer[:] = array.tobytes()
        self._publisher.put(buffer)


class Reader:
    """Takes the newest sample, copies it out."""

    def __init__(self, place: Place, array: Array, **_: Any) -> None:
        ring = zenoh.handlers.RingChannel(1)
        self._subscriber = session(place).declare_subscriber(place.name, ring)
        self._dtype, self._shape, self._size = array.dtype, array.shape, array.size
        self.close = self._subscriber.undeclare

    def read(self) -> Array | None:
        sample = self._subscriber.try_recv()
        return None if sample is None else self._array(sample)

    def wait(self, timeout: float) -> Array | None:
        return self._array(self._subscriber.recv())

    def _array(self, sample: Any) -> Array:
        array = np.frombuffer(sample.payload.to_bytes(), self._dtype)
        return array.reshape(self._shape) if array.size == self._size else array


def end(place: Place) -> None:
    """End as a program does: with its session."""
    key = place.root, place.side
    if key in _sessions:
        _sessions.pop(key).close()
        time.sleep(0.1)
