"""Bridges over zenoh, both in this process: what travels, what listens, what cannot be had."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bridging import Machine, free_port, listening, session, warm_up
from patience import until

from ndsharray.tools.bridge import Offer, ZenohEngine
from ndsharray.tools.bridge.zenoh_keys import key_of, offer_of
from ndsharray.tools.common import ToolError

zenoh = pytest.importorskip("zenoh", reason="eclipse-zenoh is not installed")


@pytest.fixture(scope="module", autouse=True)
def runtime() -> None:
    warm_up()


@pytest.fixture
def endpoint() -> str:
    return f"tcp/127.0.0.1:{free_port()}"


@pytest.fixture
def machines(root: Path) -> Iterator[Callable[[str], Machine]]:
    made: list[Machine] = []

    def make(name: str) -> Machine:
        made.append(Machine(root / name, "mmap"))
        return made[-1]

    yield make
    for machine in reversed(made):
        machine.close()


def test_arrays_travel_both_ways_and_nothing_else_listens(
    machines: Callable[[str], Machine], endpoint: str
) -> None:
    here, there = machines("here"), machines("there")
    before = listening(os.getpid()) if sys.platform.startswith("linux") else None
    here.bridge(ZenohEngine(listen=[endpoint]), export=["*"], import_=["*"])
    there.bridge(ZenohEngine(connect=[endpoint]), export=["*"], import_=["*"])
    out, back = here.writer("out/a ?#$*"), there.writer("back")
    out.write(np.arange(2_000_000, dtype=">u4"), time_ns=7)
    back.write(np.zeros((), [("a", "<f4"), ("b", "U3")]))
    reader = there.reader("out/a ?#$*")
    valid, frame = reader.read(20.0)
    assert valid
    assert frame.dtype == np.dtype(">u4")
    assert np.array_equal(frame, np.arange(2_000_000))
    assert reader.time_ns == 7
    valid, frame = here.reader("back").read(20.0)
    assert valid
    assert frame.dtype == np.dtype([("a", "<f4"), ("b", "U3")])
    if before is not None:  # the one that connects listens nowhere, and neither scouts
        assert listening(os.getpid()) - before == {f"tcp {endpoint[4:]}"}


def test_the_default_is_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = f"tcp/127.0.0.1:{free_port()}"
    monkeypatch.setattr("ndsharray.tools.bridge.zenoh_engine.LISTEN", endpoint)
    with ZenohEngine() as engine:
        assert engine.listens == [endpoint]
    with ZenohEngine(connect=[endpoint]) as engine:
        assert engine.listens == []


def test_what_is_not_exported_cannot_be_had(
    machines: Callable[[str], Machine], endpoint: str
) -> None:
    here = machines("here")
    bridge = here.bridge(ZenohEngine(listen=[endpoint]), export=["given"])
    here.writer("given").write(np.arange(3))
    secret = here.writer("secret")
    with session(endpoint) as other:
        came: set[str] = set()
        other.declare_subscriber("**", lambda sample: came.add(str(sample.key_expr)))

        def keys(selector: str) -> set[str]:
            return {str(r.ok.key_expr) for r in other.get(selector, timeout=5.0) if r.ok}

        def tokens() -> set[str]:
            return {str(r.ok.key_expr) for r in other.liveliness().get("**", timeout=5.0)}

        secret.write(np.arange(3))
        given = until(tokens, "an offer")
        assert {offer_of(key).name for key in given} == {"given"}
        # By the name that it would have, by all names, and as zenoh's own administration.
        assert keys(key_of(Offer(bridge.id, 1, "secret"))) == set()
        assert until(lambda: keys("**"), "a question finds the offer") == given
        own = f"@/{other.info.zid()}/"  # what it knows by itself
        assert {key for key in keys("@/**") if not key.startswith(own)} == set()
        secret.write(np.arange(4))
        here.writer("given").write(np.arange(5))
        until(lambda: came, "a frame")
        assert {offer_of(key).name for key in came} == {"given"}


@pytest.mark.parametrize(
    "key",
    [
        "ndsharray/1/0123456789abcdef/1",
        "ndsharray/1/0123456789abcdef/1/",
        "ndsharray/1/0123456789abcdef/1/a/b",
        "ndsharray/1/0123456789ABCDEF/1/a",
        "ndsharray/1/0123456789abcdef/01/a",
        "ndsharray/1/0123456789abcdef/11111111111111111/a",
        "ndsharray/2/0123456789abcdef/1/a",
        "ndsharray/1/0123456789abcdef/1/%61",
        "ndsharray/1/0123456789abcdef/1/%ff",
        "ndsharray/1/0123456789abcdef/1/" + "a" * 766,
    ],
)
def test_a_key_that_no_bridge_makes_is_no_offer(key: str) -> None:
    assert offer_of(key) is None


@pytest.mark.parametrize("name", ["a", "a/b", "@x", "*$?#%", "ä 左\n", "~" * 255, "\x7f"])
def test_every_name_has_a_key(name: str) -> None:
    offer = Offer("0123456789abcdef", 2**63 + 5, name)
    assert offer_of(key_of(offer)) == offer
    zenoh.KeyExpr(key_of(offer))


@pytest.mark.parametrize(
    "wrong",
    [
        {"listen": ["nonsense"]},
        {"listen": ["tcp/256.0.0.1:1"]},
        {"listen": ["tcp/127.0.0.1:99999"]},
        {"connect": ["tcp:127.0.0.1:1"]},
        {"connect": ["nonsense/127.0.0.1:1"]},
        {"config": "/no/such/file"},
        {"config": __file__},
    ],
    ids=str,
)
def test_a_wrong_endpoint_or_file_is_one_line(wrong: Any) -> None:
    with pytest.raises(ToolError) as caught:
        ZenohEngine(**wrong)
    assert caught.value.code == 2
    line = str(caught.value)
    assert "\n" not in line
    assert ".rs:" not in line  # zenoh's source is nothing to the user
    assert len(line) < 500
    if "config" in wrong:
        assert wrong["config"] in line


def test_a_port_that_is_taken_is_one_line(endpoint: str) -> None:
    with ZenohEngine(listen=[endpoint]), pytest.raises(ToolError) as caught:
        ZenohEngine(listen=[endpoint])
    assert endpoint[4:] in str(caught.value)


def test_a_closed_session_offers_and_takes_nothing(endpoint: str) -> None:
    offer = Offer("0123456789abcdef", 1, "a")
    engine = ZenohEngine(listen=[endpoint])
    engine.close()
    with pytest.raises(ConnectionError):
        engine.offer(offer, lambda reply: None)
    with pytest.raises(ConnectionError):
        engine.take(offer, lambda head, payload: None)
