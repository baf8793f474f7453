"""Memory that somebody scribbles on: errors of ours or "not valid", and an undisturbed writer.

What is damaged, and what must hold then, whatever was hit:

* A call ends, in time, with a frame, "not valid" or an error of ours; nothing else is raised or
  warned of, no process dies, no memory beyond a bound is asked for.
* The writer goes on by its own record: every frame that it writes is right, in time.
* Once the damage is over, readers get right frames.

A frame that a reader gets is, in every byte, dtype and shape, one that was written, **as long as
nothing lied about it**. A lie is a store to what a frame consists of or is recognised by: a slot's
seq, uuid, header and payload; and, for frames in place, the pins. All else is no lie, and must
never lead to a wrong frame: the whole control page (which frame is newest, in which segment, of how
many slots, how far apart), a slot's frame number, time and lengths. A newcomer decodes each header
that it meets, so for it a uuid cannot lie. Where headers lie, a frame holds at least what stands
behind one of them, inside one slot.

Not here: a segment that is cut short. Touching what is gone is a SIGBUS, only its owner can
do that (mode 0600), and the library never changes a segment's size.

``HOSTILE_SEED`` repeats a run.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hostile
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import ndsharray
from ndsharray import FormatError, NdShArray, NdShArrayError
from ndsharray._protocol import format
from ndsharray._registry.names import Address, address_of
from ndsharray.backends import resolve

pytestmark = pytest.mark.alternately

LONGEST = 3.0  # seconds: no call takes longer, on a slow and busy machine
MEMORY = 64 << 20  # bytes of address space: nothing here needs more

Account = Callable[[str, int], None]


@pytest.fixture
def seed() -> int:
    found = int(os.environ.get("HOSTILE_SEED") or random.randrange(2**32))
    print(f"seed {found}")
    return found


class Child:
    """A process with one task of `hostile`."""

    def __init__(self, task: str, **options: object) -> None:
        command = [sys.executable, "-W", "error", hostile.__file__, task]
        library = str(Path(ndsharray.__file__).parents[1])  # the one that is tested here
        paths = [library, os.environ.get("PYTHONPATH", "")]
        self.process = subprocess.Popen(
            [*command, *(f"{key}={value}" for key, value in options.items())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, paths)),
                "MALLOC_ARENA_MAX": "1",  # a thread's own 128 MB would be most of the address space
            },
        )

    def began(self) -> None:
        assert self.line() == "begin\n"

    def line(self) -> str:
        line: str = self.process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            self.result()
        return line

    def tell(self, what: object) -> None:
        self.process.stdin.write(f"{what}\n")  # type: ignore[union-attr]
        self.process.stdin.flush()  # type: ignore[union-attr]

    def result(self, timeout: float = 60) -> dict[str, Any]:
        """Return what the task found, once it has come to a good end."""
        out, errors = self.process.communicate(timeout=timeout)
        assert (self.process.returncode, errors) == (0, ""), errors
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        if not self.process.stdout.closed:  # type: ignore[union-attr]
            self.process.communicate()


@pytest.fixture
def child(root: Path) -> Iterator[Callable[..., Child]]:
    children: list[Child] = []

    def start(task: str, **options: object) -> Child:
        children.append(Child(task, **options))
        return children[-1]

    yield start
    for each in children:
        each.end()


def assert_cheap(found: dict[str, Any]) -> None:
    assert found["longest"] < LONGEST
    assert found["memory"] < MEMORY


# --- Headers -------------------------------------------------------------------------------------

_text = st.text(st.sampled_from("<>|=fiuVSUOMm?0123456789,()[]'\"\\ \0\né中\U0001f600"), max_size=6)
_types = st.sampled_from(hostile.TYPES) | _text
_names = st.sampled_from(hostile.NAMES) | _text
_titles = st.tuples(_names, _names)
_lengths = st.sampled_from(hostile.DIMENSIONS) | st.integers()
_shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple) | st.lists(_lengths).map(tuple)
_descrs = st.recursive(
    _types | st.sampled_from(hostile.JUNK),
    lambda inner: st.one_of(
        st.lists(st.tuples(_names | _titles, inner), max_size=4),
        st.lists(st.tuples(_names, inner, _shapes), max_size=3),
        st.tuples(inner, _shapes),
        st.lists(inner, max_size=3),
    ),
    max_leaves=12,
)
_texts = st.one_of(
    st.builds(
        lambda descr, order, shape: (
            f"{{'descr': {descr!r}, 'fortran_order': {order!r}, 'shape': {shape!r}, }}"
        ),
        _descrs,
        st.sampled_from([False] * 9 + [True]),
        _shapes,
    ),
    st.integers(0, 2**64).map(lambda seed: hostile.random_text(random.Random(seed))),
    st.lists(st.sampled_from([*hostile.TEXTS, "{", "}", "[", "]", "(", ")", ","])).map("".join),
)
_headers = st.builds(
    lambda text, major, length: hostile.as_header(
        text.encode("utf8" if major == 3 else "latin1", "backslashreplace"), major, length
    ),
    _texts,
    st.sampled_from([1, 1, 2, 3]),
    st.sampled_from([0] * 9 + [1, -1]),
)
_damages = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3)


@pytest.mark.times(100, 5_000)
def test_any_header_is_refused_or_means_what_numpy_reads_in_it(
    times: int, account: Account
) -> None:
    """FormatError, or numpy's own answer; no warning; never more than a few MB."""

    @settings(max_examples=times, deadline=None, database=None, suppress_health_check=HealthCheck)
    @given(_headers, _damages)
    def judged(header: bytes, damages: list[tuple[int, int]]) -> None:
        found = bytearray(header)
        for at, value in damages:
            found[at % len(found)] = value
        header = bytes(found)
        tracemalloc.start()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                hostile.judge(header)
                most = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
        assert not told, [str(each.message) for each in told]
        assert most < 4 << 20

    judged()
    account("mutated .npy headers", times)


@pytest.mark.times(3_000, 450_000)
def test_random_headers_are_refused_or_mean_what_numpy_reads_in_them(
    times: int, account: Account, seed: int, child: Callable[..., Child]
) -> None:
    found = child("decode", seed=seed, times=times).result(30 + times / 300)
    print(found)
    assert_cheap(found)
    assert found["accepted"] > times / 20  # it gets past the first check
    account("mutated .npy headers", times)


_MOST = format.MAX_HEADER - 200
_WHOLE = "{'descr': %s, 'fortran_order': False, 'shape': %s}"


def _filled(before: str, again: str, after: str = "") -> str:
    """Return a text as long as a header may be."""
    return before + again * ((_MOST - len(before) - len(after)) // len(again)) + after


LARGE = {
    "escaped quotes": lambda: _filled("", "\\'"),
    "escaped quotes of both kinds": lambda: _filled("", "\\'\\\""),
    "a long type": lambda: _WHOLE % (_filled("'", "a", "'"), "()"),
    "a long name": lambda: _WHOLE % (_filled("[('", "a", "', '<f4')]"), "()"),
    "a name of escapes": lambda: _WHOLE % (_filled("[('", "\\x41", "', '<f4')]"), "()"),
    "many dimensions": lambda: _WHOLE % ("'<f4'", _filled("(", "1,", ")")),
    "many lists": lambda: _WHOLE % (_filled("[", "[],", "]"), "()"),
    "many empty names": lambda: _WHOLE % (_filled("[", "('',''),", "]"), "()"),
    "many equal names": lambda: _WHOLE % (_filled("[", "('a','<f4'),", "]"), "()"),
    "a comma-separated type": lambda: _WHOLE % (_filled("'", "b,", "b'"), "(0,)"),
    "many fields": lambda: (
        _WHOLE % (f"[{','.join(repr((f'{i:x}', '|b1')) for i in range(_MOST // 18))}]", "(0,)")
    ),
    "a long number": lambda: _WHOLE % ("'<f4'", _filled("(", "9", ",)")),
    "a long hexadecimal number": lambda: _WHOLE % ("'<f4'", _filled("(0x", "f", ",)")),
    "brackets": lambda: _filled("", "("),
    "brackets that close": lambda: "(" * (_MOST // 2) + ")" * (_MOST // 2),
    "calls": lambda: _filled("a", "()"),
    "subscripts": lambda: _filled("a", "[1]"),
    "additions in an f-string": lambda: _filled("f'{1", "+1", "}'"),
    "attributes in an f-string": lambda: _filled("f'{a", ".a", "}'"),
    "calls in an f-string": lambda: _filled("f'{a", "()", "}'"),
    "minus signs in an f-string": lambda: _filled("f'{", "-", "1}'"),
    "brackets in an f-string": lambda: _filled("f'{", "("),
    "conditions": lambda: _filled("", "1 if 1 else ", "1"),
    "negations": lambda: _filled("", "not ", "1"),
    "strings side by side": lambda: _WHOLE % (_filled("", "'a'"), "()"),
    "a comprehension": lambda: _filled("[1", " for a in b", "]"),
    "NULs": lambda: _WHOLE % (_filled("'", "\0", "'"), "()"),
}


@pytest.mark.parametrize("kind", LARGE)
def test_a_header_as_long_as_can_be_costs_little(kind: str, child: Callable[..., Child]) -> None:
    """It ends at once (a long chain of anything makes parsers slow, or overflow the C stack)."""
    header = hostile.as_header(LARGE[kind]().encode(), 2)
    assert len(header) <= format.MAX_HEADER
    one = child("large")
    one.tell(header.hex())
    found = one.result(timeout=30)
    print(found)
    assert_cheap(found)


# --- A quiet array, damaged before each look ------------------------------------------------------


@pytest.mark.times(1_000, 140_000)
def test_a_damaged_control_page_never_leads_to_a_wrong_frame(
    name: str, transport: str, times: int, account: Account, seed: int, child: Callable[..., Child]
) -> None:
    """Newcomers and long-lived readers, in every way of reading; damage of all of the page."""
    found = run_quiet(child, name, transport, seed, times, "page")
    account("mutated control pages", times)
    assert min(found["outcomes"]["page"].values()) > times / 50


@pytest.mark.times(1_000, 100_000)
def test_damaged_slot_words_never_lead_to_a_wrong_frame(
    name: str, transport: str, times: int, account: Account, seed: int, child: Callable[..., Child]
) -> None:
    """Any word of any slot. Nobody writes meanwhile: even a seq that lies names a whole frame."""
    found = run_quiet(child, name, transport, seed, times, "slot,lie")
    account("mutated slot words", times)
    for counts in found["outcomes"].values():
        assert counts["frame"] > times / 50 < counts["error"]


@pytest.mark.times(250, 20_000)
def test_a_damaged_header_in_a_slot_never_shows_anything_but_that_slot(
    name: str, transport: str, times: int, account: Account, seed: int, child: Callable[..., Child]
) -> None:
    """Near-valid headers, and lengths that fit them."""
    found = run_quiet(child, name, transport, seed, times, "header")
    account("mutated .npy headers", times)
    assert found["outcomes"]["header"]["error"] > times / 50
    assert found["outcomes"]["header"]["frame"] > times / 100


def run_quiet(
    child: Callable[..., Child], name: str, transport: str, seed: int, times: int, targets: str
) -> dict[str, Any]:
    options = {"name": name, "transport": transport, "seed": seed, "targets": targets}
    found = child("quiet", **options, times=times).result(60 + times / 50)
    print(found)
    assert_cheap(found)
    return found


# --- A live array, damaged while it is written and read -------------------------------------------

READINGS = ["newest", "timeout", "out", "in place", "frames", "fresh"]


@pytest.mark.parametrize("mode", ["strict", "anything"])
@pytest.mark.times(1_500, 60_000)
def test_readers_of_a_live_array_survive_its_damage(
    name: str,
    transport: str,
    mode: str,
    times: int,
    account: Account,
    seed: int,
    child: Callable[..., Child],
) -> None:
    """A flooding writer that is restarted now and then, six readers, and a mutator.

    ``strict`` leaves out the lies (above), so each frame has to be whole, also the caller's
    ``out`` and held frames in place; ``anything`` damages every word, payload included, so a frame
    may be anything. Afterwards each reader, and a newcomer, gets what a new writer writes.
    """
    options = {"name": name, "transport": transport}
    writer = child("write", **options, each=2_000)
    writer.began()
    readers = [child("read", **options, how=how, mode=mode) for how in READINGS]
    for reader in readers:
        reader.began()
    done = child("mutate", **options, seed=seed, times=times, mode=mode).result(60 + times / 20)
    account("mutated control pages", done["pages"])
    account("mutated slot words", done["slots"])
    found = {}
    for how, reader in zip(READINGS, readers):
        reader.tell("stop")
        found[how] = json.loads(reader.line())
    writer.tell(50)
    wrote = writer.result()
    print(done, wrote, found)
    number = heal(name, transport, readers)
    assert wrote["longest"] < LONGEST
    assert wrote["written"] > 300
    for how, each in found.items():
        assert each["wrong"] == 0, how
        assert each["frame"] > 0, how
        assert_cheap(each)
    assert sum(each["error"] for each in found.values()) > 10
    assert number


def heal(name: str, transport: str, readers: list[Child]) -> int:
    number = 10**9
    with NdShArray(name, r_w="w", transport=transport) as new:
        new.write(hostile.frame_of(number))
        with NdShArray(name, r_w="r", transport=transport) as newcomer:
            valid, frame = newcomer.read(timeout=5.0)
            assert valid
            assert hostile.is_whole(frame)
        for reader in readers:
            reader.tell(number)
        for reader in readers:
            assert reader.result()["healed"] == number
    return number


# --- The writer ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", hostile.SCRIBBLES)
@pytest.mark.times(1_000, 100_000)
def test_the_writer_is_undisturbed_by_whatever_is_scribbled_on_its_page(
    name: str,
    transport: str,
    how: str,
    times: int,
    account: Account,
    seed: int,
    child: Callable[..., Child],
) -> None:
    """At full speed, by another process, all the time while it writes.

    It looks at each frame in its own mapping, by its own record. It may make a larger segment for
    pins, of 250 slots at most, a few times; not again and again.
    """
    writer = child("write", name=name, transport=transport, each=10**9, look=1)
    writer.began()
    other = child("scribbler", name=name, transport=transport, seed=seed, how=how)
    other.began()
    writer.tell(times)
    wrote = writer.result(60 + times / 50)
    other.tell("stop")
    done = other.result()
    print(done, wrote)
    account("control pages scribbled under a writer", done["scribbled"])
    assert_cheap(wrote)
    assert wrote["slots"] <= 250
    assert wrote["segments"] <= 24


@pytest.mark.times(120, 4_000)
def test_a_successor_makes_good_whatever_stands_in_the_page(
    name: str, transport: str, times: int, account: Account, seed: int, child: Callable[..., Child]
) -> None:
    """It adopts the array or makes it anew; then it can write and grow, and readers can read."""
    child("take over", name=name, transport=transport, seed=seed, times=times).result(
        60 + times / 5
    )
    account("mutated control pages", times)


# --- Single cases --------------------------------------------------------------------------------


@pytest.fixture
def address(name: str, transport: str) -> Address:
    return address_of(resolve(transport), name)


def words_of(writer: NdShArray) -> Any:
    side: Any = writer._writer
    return side._holding.control.memory.words


def kill(writer: NdShArray) -> None:
    side: Any = writer._writer
    side._holding.lock_file.abandon()
    side._holding.begin_end("killed")
    side._holding.abandon()


@pytest.mark.parametrize("below", [1, 2, 3, 10])
def test_a_successor_is_not_left_without_segment_ids(address: Address, below: int) -> None:
    """*Next* close to its end: the array is made anew, instead of failing at a later growth."""
    old = NdShArray(address.name, np.zeros(3), "w", transport=address.transport)
    instance = words_of(old)[format.INSTANCE_WORD]
    words_of(old)[format.NEXT_WORD] = format.MAX_SEGMENT - below
    kill(old)
    with NdShArray(address.name, r_w="w", transport=address.transport) as writer:
        with NdShArray(address.name, r_w="r", transport=address.transport) as reader:
            for length in (10, 100, 1000, 10_000, 100_000):
                for value in range(below):
                    writer.write(np.full((value + 1) * length, value))
                    assert (reader.read(timeout=5.0)[1] == value).all()
    address.transport.unlink(address.frames(instance, 1))


def test_without_segment_ids_a_writer_says_so_and_keeps_its_last_frame(
    name: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with NdShArray(name, np.zeros(3), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            monkeypatch.setattr(format, "MAX_SEGMENT", 1)
            with pytest.raises(OverflowError, match="close the writer and make a new one"):
                writer.write(np.ones(100_000))
            assert reader.read()[1].tolist() == [0.0] * 3
            writer.write(np.ones(3))
            assert reader.read()[1].tolist() == [1.0] * 3


def test_is_valid_is_false_while_a_task_waits_and_newest_is_impossible(
    name: str, transport: str
) -> None:
    async def ask(reader: NdShArray, words: Any) -> bool:
        task = asyncio.ensure_future(reader.read_async(timeout=0.2))
        await asyncio.sleep(0)  # it begins
        newest, words[format.NEWEST_WORD] = words[format.NEWEST_WORD], 2**64 - 1
        try:
            return reader.is_valid
        finally:
            words[format.NEWEST_WORD] = newest
            await task

    with NdShArray(name, np.zeros(3), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert reader.read()[0]
            assert asyncio.run(ask(reader, words_of(writer))) is False


@pytest.mark.parametrize(
    ("slots", "stride"),
    [(2, 2**55), (250, 2**55), (250, 2**48), (2, 2**40), (250, 2**20), (249, 2**56 - 128)],
)
def test_a_table_that_promises_too_much_maps_no_more_than_there_is(
    name: str, transport: str, slots: int, stride: int
) -> None:
    with NdShArray(name, np.zeros(3), "w", transport=transport) as writer:
        words = words_of(writer)
        words[format.TABLE_WORDS[1] + 1] = slots
        words[format.TABLE_WORDS[1] + 2] = stride
        before = hostile.peak()
        for copy in (True, False):
            with NdShArray(name, r_w="r", transport=transport) as reader:
                with pytest.raises(FormatError, match="frame segment"):
                    reader.read(copy=copy)
                assert not reader.is_valid
        assert hostile.peak() - before < MEMORY


def test_a_page_that_points_to_another_array_does_not_show_its_frames(
    name: str, transport: str
) -> None:
    """Names of segments begin with their own array's: there is no way out of it."""
    with (
        NdShArray(name, np.full(5, 1), "w", transport=transport) as writer,
        NdShArray(name + "2", np.full(5, 2), "w", transport=transport) as other,
    ):
        words, theirs = words_of(writer), words_of(other)
        own = {at: words[at] for at in range(512)}
        for some in ([3], [3, 64, *range(48, 53), *range(56, 61), 80], range(8, 512), range(512)):
            for at in some:
                words[at] = theirs[at]
            with NdShArray(name, r_w="r", transport=transport) as reader:
                assert frame_or_nothing(reader) is None
            for at in range(512):
                words[at] = own[at]
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert frame_or_nothing(reader) == [1] * 5


def test_a_page_that_points_to_another_segment_of_the_array_shows_no_wrong_frame(
    address: Address,
) -> None:
    """Too small, too large, empty, or full of seqs of other positions: an error, or not valid."""
    with NdShArray(address.name, np.full(5, 1), "w", transport=address.transport) as writer:
        words = words_of(writer)
        instance = words[format.INSTANCE_WORD]
        for segment, size in ((7, 8), (8, 1000), (9, 4096), (10, 1 << 20)):
            name = address.frames(instance, segment)
            found = address.transport.create(name, size)
            for at in range(0, size // 8):
                found.buf.cast("Q")[at] = 2 * (at + 2)
            words[format.TABLE_WORDS[1]] = segment
            with NdShArray(address.name, r_w="r", transport=address.transport) as reader:
                assert frame_or_nothing(reader) is None
            found.close()
            address.transport.unlink(name)
        writer.write(np.full(5000, 2))  # grows
        with NdShArray(address.name, r_w="r", transport=address.transport) as reader:
            assert frame_or_nothing(reader) == [2] * 5000


def frame_or_nothing(reader: NdShArray) -> Any:
    before = hostile.peak()
    try:
        valid, frame = reader.read()
    except NdShArrayError:
        return None
    finally:
        assert hostile.peak() - before < MEMORY
    return frame.tolist() if valid else None
