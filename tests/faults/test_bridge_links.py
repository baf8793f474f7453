"""Bridges as commands: killed parties, slow and broken links between namespaces, TLS."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bridging import Machine, free_port, listening, session, warm_up
from console import Console
from patience import until

import ndsharray
from ndsharray.tools.bridge import ZenohEngine

zenoh = pytest.importorskip("zenoh", reason="eclipse-zenoh is not installed")
pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="it looks into /proc, and uses namespaces"
)
_BRIDGE = [sys.executable, "-W", "error", "-m", "ndsharray", "bridge", "zenoh", "--json"]


class Command:
    """``ndsharray bridge zenoh``, in a process of its own; `records` are its lines."""

    def __init__(self, machine: Machine, *arguments: str, inside: tuple[str, ...] = ()) -> None:
        root = ["--root", str(machine.directory)]
        self.process = subprocess.Popen(
            [*inside, *_BRIDGE, *root, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.records: list[dict[str, Any]] = []
        self.errors: list[str] = []
        for stream, keep in (
            (self.process.stdout, lambda line: self.records.append(json.loads(line))),
            (self.process.stderr, self.errors.append),
        ):
            threading.Thread(target=self._collect, args=(stream, keep), daemon=True).start()

    @staticmethod
    def _collect(stream: Any, keep: Callable[[str], None]) -> None:
        with stream:
            for line in stream:
                keep(line)

    def end(self) -> int:
        """End it as Ctrl-C and systemd do; return its exit code."""
        self.process.terminate()
        return self.process.wait(30)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module", autouse=True)
def runtime() -> None:
    warm_up()


@pytest.fixture
def pair(root: Path) -> Iterator[tuple[Machine, Machine]]:
    machines = Machine(root / "here", "mmap"), Machine(root / "there", "mmap")
    yield machines
    for machine in machines:
        sweeper = machine.writer("sweeper")  # removes what killed processes have left
        sweeper.write(np.zeros(1))
        machine.close()


@pytest.fixture
def start() -> Iterator[Callable[..., Command]]:
    commands: list[Command] = []

    def start(*arguments: Any, **more: Any) -> Command:
        commands.append(Command(*arguments, **more))
        return commands[-1]

    yield start
    for command in commands:
        if command.process.poll() is None:
            command.end()


def gets(machine: Machine, name: str, value: int, write: Callable[[], None]) -> None:
    """Write until a reader of the other machine gets a frame of that value."""
    with ndsharray.NdShArray(name, r_w="r", transport=machine.transport) as reader:

        def came() -> bool:
            write()
            valid, frame = reader.read(0.1)
            return valid and int(frame.flat[0]) == value

        until(came, f"frame {value} on the other machine")


def is_over(machine: Machine, name: str) -> bool:
    try:
        return ndsharray.info(name, transport=machine.transport).state != "live"
    except ndsharray.NoArrayError:
        return True


def test_each_party_may_be_killed_and_comes_back(
    pair: tuple[Machine, Machine],
    start: Callable[..., Command],
    account: Callable[[str, int], None],
) -> None:
    here, there = pair
    endpoint = f"tcp/127.0.0.1:{free_port()}"
    exporting = here, "--listen", endpoint, "--export", "cam"
    importing = there, "--connect", endpoint, "--import", "cam"
    out, into = start(*exporting), start(*importing)
    numbers = iter(range(1, 100))
    writer = [here.writer("cam")]

    def check() -> None:
        number = next(numbers)
        frame = np.full((480, 640), number)
        gets(there, "cam", number, lambda: writer[0].write(frame))

    check()
    assert listening(out.process.pid) == {f"tcp {endpoint[4:]}"}
    assert listening(into.process.pid) == set()
    out.kill()
    until(lambda: is_over(there, "cam"), "the far array is over")
    out = start(*exporting)
    check()
    into.kill()
    into = start(*importing)
    check()
    writer[0].close()
    until(lambda: is_over(there, "cam"), "the far array is over")
    child = Console()
    child.run("from ndsharray.backends import at")
    child.run(f"t = at('mmap', {str(here.directory)!r})")
    child.run("w = NdShArray('cam', np.arange(3), 'w', transport=t)")
    until(lambda: not is_over(there, "cam"), "the far array is back")
    child.process.kill()
    child.end()
    until(lambda: is_over(there, "cam"), "the far array is over")
    writer[0] = here.writer("cam")
    check()
    for command in (out, into):
        assert command.end() == 0
        assert command.errors == []
    until(lambda: is_over(there, "cam"), "the far array is over")
    account("bridges and writers of bridged arrays killed", 3)


ROUTER = """if True:
    import sys
    from bridging import session
    with session(listen=[sys.argv[1]], mode="router"):
        print("ready", flush=True)
        sys.stdin.read()
"""


def test_frames_that_are_written_once_arrive_through_a_router(
    pair: tuple[Machine, Machine], start: Callable[..., Command], tmp_path: Path
) -> None:
    """The router is a process of its own: zenoh's sessions of one process share threads.

    With routers and clients in one process, large frames block these threads for five seconds.
    """
    endpoint, config = f"tcp/127.0.0.1:{free_port()}", tmp_path / "client.json5"
    config.write_text("{mode: 'client'}")
    third = Machine(pair[0].directory.parent / "third", "mmap")
    machines = [*pair, third]
    with subprocess.Popen(
        [sys.executable, "-c", ROUTER, endpoint],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as router:
        assert router.stdout is not None
        assert router.stdout.readline()
        to_router = "--connect", endpoint, "--config", str(config)
        commands = []
        for number, machine in enumerate(machines):
            names = "--export", f"cam{number}", "--import", "*"
            commands.append(start(machine, *to_router, *names))
            machine.writer(f"cam{number}").write(np.full(1_000_000, number))
        for number in range(3):
            for other in machines[:number] + machines[number + 1 :]:
                valid, frame = other.reader(f"cam{number}").read(40.0)
                assert valid
                assert (frame == number).all()
        assert [command.end() for command in commands] == [0, 0, 0]
        assert router.stdin is not None
        router.stdin.close()
    third.close()


# --- two network namespaces


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


class Link:
    """Two network namespaces, and an Ethernet link between them."""

    ADDRESSES = "10.77.0.1", "10.77.0.2"

    def __init__(self) -> None:
        tag = uuid.uuid4().hex[:6]
        self.names = f"nd{tag}a", f"nd{tag}b"
        self.devices = f"v{tag}a", f"v{tag}b"
        for name in self.names:
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        (one, other), (left, right) = self.names, self.devices
        run(
            *("ip", "link", "add", left, "netns", one, "type", "veth"),
            *("peer", "name", right, "netns", other),
        )
        for name, device, address in zip(self.names, self.devices, self.ADDRESSES):
            run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", device)
            run("ip", "-n", name, "link", "set", device, "up")

    def inside(self, side: int) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.names[side])

    def throttle(self, bits: int) -> None:
        run(
            *self.inside(0),
            *("tc", "qdisc", "add", "dev", self.devices[0], "root", "tbf"),
            *("rate", f"{bits}bit", "burst", "64kb", "latency", "20ms"),
        )

    def set(self, state: str) -> None:
        run("ip", "-n", self.names[0], "link", "set", self.devices[0], state)

    def remove(self) -> None:
        for name in self.names:
            subprocess.run(("ip", "netns", "del", name), capture_output=True, check=False)


@pytest.fixture
def link() -> Iterator[Link]:
    if os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("tc")):
        pytest.skip("network namespaces need root, ip and tc")
    try:
        made = Link()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"network namespaces cannot be made: {error.stderr.decode().strip()}")
    yield made
    made.remove()


def film(machine: Machine, name: str, frame: Any, rate: float) -> Callable[[], None]:
    """Write frames at a rate, with the present time as stamp; the result stops it."""
    stop, writer = threading.Event(), machine.writer(name)

    def write() -> None:
        while not stop.wait(1 / rate):
            writer.write(frame, time_ns=time.time_ns())

    thread = threading.Thread(target=write)
    thread.start()

    def end() -> None:
        stop.set()
        thread.join()

    return end


def test_a_link_of_a_tenth_drops_old_frames_and_keeps_the_newest_fresh(
    pair: tuple[Machine, Machine], start: Callable[..., Command], link: Link
) -> None:
    here, there = pair
    frame = np.random.default_rng(1).integers(0, 255, (720, 1280, 3), np.uint8)
    bits = frame.nbytes * 30 * 8 // 10
    link.throttle(bits)
    endpoint = f"tcp/{link.ADDRESSES[0]}:7447"
    out = start(here, "--listen", endpoint, "--export", "cam", inside=link.inside(0))
    start(there, "--connect", endpoint, "--import", "cam", inside=link.inside(1))
    transfer = frame.nbytes * 8 / bits  # 0.33 s; headers of TCP and Ethernet take 5 % more
    reader, ages = there.reader("cam"), []
    stop = film(here, "cam", frame, 30.0)
    try:
        assert reader.read(40.0)[0]
        while len(ages) < 20:
            assert reader.read(20 * transfer)[0]
            ages.append((time.time_ns() - reader.time_ns) / 1e9)  # one machine, one clock
    finally:
        stop()
    two = 2 * 1.05 * transfer + 0.1  # both ends share two busy cores
    # The answer to the importer's question crosses the link beside the first of the others, which
    # was up to a period old when it began, behind what the kernel keeps: 256 KiB.
    assert ages[0] <= two + 1 / 30 + 2**18 * 8 / bits, ages
    assert sorted(ages[1:])[-3] <= two, ages  # the machine may hold up one
    record = until(lambda: out.records[-1] if out.records else None, "a line of the sending bridge")
    assert record["dropped"] > 5 * record["frames"]
    rates = [each["bytes_per_s"] for each in out.records if each["frames"]]
    assert 0.5 * bits / 8 < statistics.median(rates) < 1.1 * bits / 8


def test_a_lost_link_closes_the_array_and_comes_back(
    pair: tuple[Machine, Machine], start: Callable[..., Command], link: Link, tmp_path: Path
) -> None:
    here, there = pair
    config = tmp_path / "zenoh.json5"
    config.write_text("{transport: {link: {tx: {lease: 1000}}}}")
    endpoint, more = f"tcp/{link.ADDRESSES[0]}:7447", ("--config", str(config))
    start(here, "--listen", endpoint, "--export", "*", *more, inside=link.inside(0))
    start(there, "--connect", endpoint, "--import", "*", *more, inside=link.inside(1))
    stop = film(here, "cam", np.arange(1000, dtype=">f8"), 50.0)
    try:
        valid, frame = there.reader("cam").read(40.0)
        assert valid
        assert frame.dtype == np.dtype(">f8")
        link.set("down")
        until(lambda: is_over(there, "cam"), "the far array is over")
        link.set("up")
        until(lambda: not is_over(there, "cam"), "the far array is back")
        assert there.reader("cam").read(40.0)[0]
    finally:
        stop()


# --- TLS, and a full link


def make_certificates(place: Path) -> None:
    """Make two authorities, and a certificate of the first one for 127.0.0.1."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=place, check=True, capture_output=True)

    for authority in ("right", "wrong"):
        openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", f"{authority}.key", "-out", f"{authority}.pem"),
            *("-subj", f"/CN={authority} authority"),
        )
    (place / "names").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    openssl(
        *("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr"),
        *("-subj", "/CN=server"),
    )
    openssl(
        *("x509", "-req", "-in", "server.csr", "-CA", "right.pem", "-CAkey", "right.key"),
        *("-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "server.pem"),
    )


def write_config(path: Path, **tls: str) -> str:
    path.write_text(json.dumps({"transport": {"link": {"tls": tls}}}))
    return str(path)


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")
def test_over_tls_a_wrong_certificate_is_refused(
    pair: tuple[Machine, Machine], tmp_path: Path
) -> None:
    make_certificates(tmp_path)
    here, there = pair
    endpoint = f"tls/127.0.0.1:{free_port()}"
    server = write_config(
        tmp_path / "server.json5",
        listen_private_key=str(tmp_path / "server.key"),
        listen_certificate=str(tmp_path / "server.pem"),
    )
    here.bridge(ZenohEngine(listen=[endpoint], config=server), export=["cam"])
    here.writer("cam").write(np.arange(3))
    trust = {
        authority: write_config(
            tmp_path / f"{authority}.json5", root_ca_certificate=str(tmp_path / f"{authority}.pem")
        )
        for authority in ("wrong", "right")
    }
    refused = there.bridge(ZenohEngine(connect=[endpoint], config=trust["wrong"]), import_=["*"])
    # The right one, beside it and begun later, gets the array: so the wrong one had its time.
    third = Machine(there.directory.parent / "third", "mmap")
    try:
        third.bridge(ZenohEngine(connect=[endpoint], config=trust["right"]), import_=["*"])
        assert third.reader("cam").read(20.0)[0]
    finally:
        third.close()
    assert is_over(there, "cam")
    assert refused.counts() == []
    # Nor does one that speaks no TLS get anything.
    plain = there.bridge(ZenohEngine(connect=["tcp" + endpoint[3:]]), import_=["*"])
    assert not there.reader("cam").read(3.0)[0]
    assert plain.counts() == []


def test_the_far_side_of_a_full_link_does_not_stop_the_end(pair: tuple[Machine, Machine]) -> None:
    """Somebody takes frames and never looks at them, so the link fills."""
    here, endpoint = pair[0], f"tcp/127.0.0.1:{free_port()}"
    writer = here.writer("cam")
    bridge = here.bridge(ZenohEngine(listen=[endpoint]), export=["cam"])
    stuck = threading.Event()
    with session(endpoint) as other:
        handler = zenoh.handlers.Callback(lambda _: stuck.wait(30), indirect=False)
        other.declare_subscriber("ndsharray/**", handler)
        frame = np.zeros(3_000_000, np.uint8)
        before = 0

        def is_full() -> bool:
            nonlocal before
            writer.write(frame)
            sent = bridge.counts()[0].frames if bridge.counts() else 0
            full = sent == before > 0
            before = sent
            return full and threading.Event().wait(0.3) is False

        until(is_full, "the link is full")
        closing = threading.Thread(target=bridge.close)
        closing.start()
        closing.join(15)
        ended = not closing.is_alive()
        stuck.set()
        closing.join()
        assert ended
