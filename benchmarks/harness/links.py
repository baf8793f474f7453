"""Three ways of a frame to another process over loopback TCP, for ``scenarios.bridge``.

Each has a sender, in one process, and a receiver, in another one: a plain socket, which is the
floor; zenoh as its documentation advises, from ``tobytes`` to ``to_bytes``; and a pair of bridges
of this library, which are two more processes, with a writer and a reader at the ends.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import time
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ndsharray import MmapTransport, NdShArray

Array = npt.NDArray[Any]
_PATIENCE = 20.0


class Route(NamedTuple):
    """What both ends have to know: a port of loopback, two directories, the frames' shape."""

    port: int
    roots: tuple[str, str]
    shape: tuple[int, ...]


class SocketSender:
    """Listens; sends 8 bytes of length and the frame."""

    def __init__(self, route: Route) -> None:
        with socket.create_server(("127.0.0.1", route.port)) as server:
            self._socket = server.accept()[0]
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, frame: Array) -> None:
        self._socket.sendall(struct.pack("<Q", frame.nbytes))
        self._socket.sendall(memoryview(frame).cast("B"))

    def close(self) -> None:
        self._socket.close()


class SocketReceiver:
    """Connects; receives into memory of its own."""

    def __init__(self, route: Route) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                self._socket = socket.create_connection(("127.0.0.1", route.port), _PATIENCE)
                break
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        self._frame = np.empty(route.shape, np.uint8)
        self._length = bytearray(8)

    def receive(self, timeout: float) -> Array | None:
        self._socket.settimeout(timeout)
        try:
            self._fill(memoryview(self._length))
        except TimeoutError:
            return None
        self._fill(memoryview(self._frame).cast("B"))
        return self._frame

    def _fill(self, room: memoryview) -> None:
        while room:
            room = room[self._socket.recv_into(room) :]

    def close(self) -> None:
        self._socket.close()


def _session(route: Route, listens: bool) -> Any:
    import zenoh

    config, endpoint = zenoh.Config(), f"tcp/127.0.0.1:{route.port}"
    for key, value in {
        "mode": "peer",
        "scouting/multicast/enabled": False,
        "scouting/gossip/enabled": False,
        "transport/shared_memory/enabled": False,
        "listen/endpoints": [endpoint] if listens else [],
        "connect/endpoints": [] if listens else [endpoint],
    }.items():
        config.insert_json5(key, json.dumps(value))
    return zenoh.open(config)


class ZenohSender:
    """A publisher that waits while the link is full."""

    def __init__(self, route: Route) -> None:
        import zenoh

        self._session = _session(route, listens=True)
        self._publisher = self._session.declare_publisher(
            "frames", congestion_control=zenoh.CongestionControl.BLOCK
        )
        while not self._publisher.matching_status.matching:
            time.sleep(0.02)

    def send(self, frame: Array) -> None:
        self._publisher.put(frame.tobytes())

    def close(self) -> None:
        self._session.close()


class ZenohReceiver:
    """A subscriber with a ring of one, in which the newest frame replaces the one before it."""

    def __init__(self, route: Route) -> None:
        import zenoh

        self._session = _session(route, listens=False)
        self._ring = self._session.declare_subscriber("frames", zenoh.handlers.RingChannel(1))
        self._shape = route.shape

    def receive(self, timeout: float) -> Array | None:
        payload = self._ring.recv().payload.to_bytes()  # it knows no timeout
        return np.frombuffer(payload, np.uint8).reshape(self._shape)

    def close(self) -> None:
        self._session.close()


class _Bridge:
    """The command ``ndsharray bridge zenoh`` over one root."""

    def __init__(self, root: str, *arguments: str) -> None:
        command = [sys.executable, "-m", "ndsharray", "bridge", "zenoh", "--root", root, *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def cpu(self) -> float:
        """Return the seconds of processor time that it has used."""
        with open(f"/proc/{self._process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


class BridgeSender:
    """A writer, and the bridge that exports its array."""

    def __init__(self, route: Route) -> None:
        where = MmapTransport(directory=route.roots[0])
        self._writer = NdShArray("camera", r_w="w", transport=where)
        self._bridge = _Bridge(
            route.roots[0], "--listen", f"tcp/127.0.0.1:{route.port}", "--export", "camera"
        )
        self.send, self.cpu = self._writer.write, self._bridge.cpu

    def close(self) -> None:
        self._bridge.close()
        self._writer.close()


class BridgeReceiver:
    """A reader, and the bridge that imports the array."""

    def __init__(self, route: Route) -> None:
        where = MmapTransport(directory=route.roots[1])
        self._bridge = _Bridge(
            route.roots[1], "--connect", f"tcp/127.0.0.1:{route.port}", "--import", "camera"
        )
        self._reader = NdShArray("camera", r_w="r", transport=where)
        self.cpu = self._bridge.cpu

    def receive(self, timeout: float) -> Array | None:
        new, frame = self._reader.read(timeout)
        return frame if new else None

    def close(self) -> None:
        self._reader.close()
        self._bridge.close()


WAYS: dict[str, tuple[Any, Any]] = {
    "socket": (SocketSender, SocketReceiver),
    "zenoh": (ZenohSender, ZenohReceiver),
    "bridge": (BridgeSender, BridgeReceiver),
}
