"""Bridges in one process: an engine without a network, and two roots."""

from __future__ import annotations

import argparse
import json
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from leftovers import left_in_root
from patience import until

from ndsharray import NdShArray, Transport
from ndsharray.backends import at
from ndsharray.tools.bridge import Bridge, Engine, Offer, Outlet, Receive, Reply


class Payload(bytes):
    """Bytes as an engine gives them."""

    def to_bytes(self) -> bytes:  # type: ignore[override]
        return bytes(self)


class MemoryOutlet(Outlet):
    """Hands frames on in the thread that sends them."""

    def __init__(self, net: Net, offer: Offer, answer: Callable[[Reply], None]) -> None:
        self.wanted = threading.Event()
        self.answer = answer
        self.takers: list[Receive] = []
        self._net, self._offer = net, offer

    def send(self, head: bytes, payload: bytes | bytearray) -> None:
        self._net.gate.acquire()
        self._net.gate.release()
        if self._net.broken:
            raise ConnectionError("the link is broken")
        for take in list(self.takers):
            take(bytes(head), Payload(payload))

    def close(self) -> None:
        self._net.withdraw(self._offer)


class Net:
    """What connects the engines of one test.

    Attributes
    ----------
    gate : threading.Lock
        Held by a test: the link is full, and every send waits.
    broken : bool
        Whether every send fails, and no question is answered.
    asked : int
        Questions for the newest frame.
    """

    def __init__(self) -> None:
        self.gate = threading.Lock()
        self.broken = False
        self.asked = 0
        self.outlets: dict[Offer, MemoryOutlet] = {}
        self.watchers: list[tuple[Callable[[Offer], None], Callable[[Offer], None]]] = []

    def engine(self) -> MemoryEngine:
        return MemoryEngine(self)

    def withdraw(self, offer: Offer) -> None:
        if self.outlets.pop(offer, None) is not None:
            for _, vanished in self.watchers:
                vanished(offer)


class MemoryEngine(Engine):
    """One bridge's end of a `Net`."""

    HELP = "carry arrays inside a test"
    max_frame = 1 << 24

    def __init__(self, net: Net) -> None:
        self.net = net
        self._own: list[Offer] = []

    @classmethod
    def arguments(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--net", required=True)

    @classmethod
    def of_options(cls, options: argparse.Namespace) -> Engine:
        return cls(Net())

    def offer(self, offer: Offer, answer: Callable[[Reply], None]) -> Outlet:
        outlet = self.net.outlets[offer] = MemoryOutlet(self.net, offer, answer)
        self._own.append(offer)
        for appeared, _ in self.net.watchers:
            appeared(offer)
        return outlet

    def watch(self, appeared: Callable[[Offer], None], vanished: Callable[[Offer], None]) -> None:
        self.net.watchers.append((appeared, vanished))
        for offer in list(self.net.outlets):
            appeared(offer)

    def take(self, offer: Offer, receive: Receive) -> Callable[[], None]:
        outlet = self.net.outlets.get(offer)
        if outlet is None:
            return lambda: None
        outlet.takers.append(receive)
        outlet.wanted.set()

        def stop() -> None:
            outlet.takers.remove(receive)
            if not outlet.takers:
                outlet.wanted.clear()

        return stop

    def ask(self, offer: Offer, receive: Receive) -> threading.Event:
        self.net.asked += 1
        over, outlet = threading.Event(), self.net.outlets.get(offer)
        if outlet is not None and not self.net.broken:
            outlet.answer(lambda head, payload: receive(bytes(head), Payload(payload)))
        over.set()
        return over

    def close(self) -> None:
        for offer in self._own:
            self.net.withdraw(offer)


class Machine:
    """A root, as if it were on a machine of its own.

    Attributes
    ----------
    lines : list of str
        What its bridges have reported.
    """

    def __init__(self, directory: Path, transport: str) -> None:
        directory.mkdir(mode=0o700)
        self.directory = directory
        self.transport: Transport = at(transport, directory)
        self.lines: list[str] = []
        self.bridges: list[Bridge] = []
        self._open: list[Any] = []

    def writer(self, name: str, **more: Any) -> NdShArray:
        return self._keep(NdShArray(name, r_w="w", transport=self.transport, **more))

    def reader(self, name: str) -> NdShArray:
        return self._keep(NdShArray(name, r_w="r", transport=self.transport))

    def bridge(self, engine: Engine, **more: Any) -> Bridge:
        made = Bridge(engine, transport=self.transport, report=self.lines.append, **more)
        self.bridges.append(made)
        return made

    def first_line(self) -> str:
        """Wait until a bridge reports something, and return the first line."""
        return until(lambda: self.lines, "a line of a bridge")[0]

    def _keep(self, made: Any) -> Any:
        self._open.append(made)
        return made

    def close_bridges(self) -> None:
        for bridge in self.bridges:
            bridge.close()

    def close(self) -> None:
        self.close_bridges()
        for made in reversed(self._open):
            made.close()
        assert left_in_root(self.directory) == []
        self.directory.rmdir()


def session(*connect: str, listen: Sequence[str] = (), mode: str = "peer") -> Any:
    """Return a zenoh session of somebody who is no bridge."""
    import zenoh

    config = zenoh.Config()
    for key, value in {
        "mode": mode,
        "listen/endpoints": list(listen),
        "connect/endpoints": list(connect),
        "scouting/multicast/enabled": False,
        "transport/shared_memory/enabled": False,
    }.items():
        config.insert_json5(key, json.dumps(value))
    return zenoh.open(config)


def warm_up() -> None:
    """Have zenoh start its threads, whose descriptors stay as long as the process."""
    endpoint, came = f"tcp/127.0.0.1:{free_port()}", threading.Event()
    with session(listen=[endpoint]) as one, session(endpoint) as other:
        one.declare_subscriber("warm", lambda _: came.set())
        until(lambda: other.put("warm", b"x") or came.wait(0.05), "a message")


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def listening(pid: int) -> set[str]:
    """Return the sockets of a process that others can send to: ``tcp 127.0.0.1:7447`` (Linux).

    Those of TCP that listen, and those of UDP that are connected to nobody.
    """
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(str(link.readlink()))
        except FileNotFoundError:
            pass  # the one by which we look
    found = set()
    for kind in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()[1:]:
            fields = line.split()
            state, inode = fields[3], fields[9]
            if f"socket:[{inode}]" in inodes and state == ("0A" if kind < "u" else "07"):
                found.add(f"{kind} {_address(fields[1])}")
    return found


def _address(text: str) -> str:
    """Return an address of /proc/net, whose words are in this machine's order."""
    host, port = text.split(":")
    words = [int(host[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(host), 8)]
    raw = b"".join(words)
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    return f"{socket.inet_ntop(family, raw)}:{int(port, 16)}"
