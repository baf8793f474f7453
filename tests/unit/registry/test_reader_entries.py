"""Readers' entries: one owner each, also when lock files are removed under living readers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recording import Recorder

import ndsharray._protocol.reading
import ndsharray._protocol.seqlock
import ndsharray._protocol.writing
import ndsharray._registry.entries
import ndsharray._system.lockfile
from ndsharray import NdShArray
from ndsharray._protocol.format import ENTRIES, OWNERS_WORD, PINS_BYTE, PINS_END

pytestmark = pytest.mark.skipif(os.name == "nt", reason="an open file cannot be removed there")


def memory(writer: NdShArray) -> Any:
    return writer._writer._holding.control.memory  # type: ignore[union-attr]


def pins(writer: NdShArray) -> list[int]:
    return [i for i, pin in enumerate(memory(writer).bytes[PINS_BYTE:PINS_END]) if pin]


def owners(writer: NdShArray) -> list[int]:
    words = memory(writer).words
    return [entry for entry in range(ENTRIES) if words[OWNERS_WORD + entry]]


def lock_files(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.name[-3:-2] == "r")


def clean(root: Path) -> None:
    """Do what a cleaner of old files does."""
    for path in lock_files(root):
        path.unlink()


def test_an_entry_has_an_owner_while_its_reader_lives(
    name: str, transport: str, root: Path
) -> None:
    with NdShArray(name, np.arange(3), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            _, array = reader.read(copy=False)
            assert owners(writer) == [0]
            file = lock_files(root)[0].stat()
            number = (file.st_ino * 2**32 ^ file.st_mtime_ns) % 2**64
            assert memory(writer).words[OWNERS_WORD] == number
        assert owners(writer) == [0]  # an array in place needs it still
        del array
        assert owners(writer) == []


def test_the_order_of_claiming_and_freeing_an_entry(
    name: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(monkeypatch)
    with NdShArray(name, np.arange(3), "w", transport=transport):
        reader = NdShArray(name, r_w="r", transport=transport)
        claimed = [line for line in recorder.take() if line.endswith(("owner", "3 = 0", "R10"))]
        assert claimed[-3:] == ["store owner", "fence R10", "store pin3 = 0"]
        reader.read(copy=False)
        recorder.take()
        reader.close()
        freed = recorder.take()
        assert freed[-2:] == ["fence R11", "store owner"]
        assert "store pin3 = 0" in freed


def test_nobody_gets_the_entry_of_a_reader_whose_lock_file_was_removed(
    name: str, transport: str, root: Path
) -> None:
    with NdShArray(name, np.full(100, 1), "w", transport=transport) as writer:
        reader = NdShArray(name, r_w="r", transport=transport)
        _, held = reader.read(copy=False)
        clean(root)
        for count in range(2, 20):
            with NdShArray(name, r_w="r", transport=transport) as other:
                writer.write(np.full(100, count))
                assert (other.read(copy=False)[1] == count).all()
                assert (held == 1).all()
                assert 0 in pins(writer)
                # Nor is the file made anew: it would stand for an entry that is not its own.
                assert [file.name[-4:] for file in lock_files(root)] == ["-r01"]
            clean(root)
        assert owners(writer) == [0]
        _, held = reader.read(copy=False)
        assert (held == 19).all()
        assert pins(writer) != []
        del held
        reader.close()
        assert (pins(writer), owners(writer)) == ([], [])


def test_a_writer_leaves_the_pins_of_a_reader_whose_lock_file_was_removed(
    name: str, transport: str, root: Path, console: Any
) -> None:
    writer = NdShArray(name, np.full(100, 1), "w", transport=transport, slots=2)
    child = console()
    child.run(f"r = NdShArray({name!r}, r_w='r', transport={transport!r})")
    child.run("held = r.read(copy=False)[1]")
    clean(root)
    ours: Any = writer._writer
    for count in range(2, 200):  # looks at dead entries, and has to grow
        ours._holding.due -= 2_000_000_000
        writer.write(np.full(100, count))
    assert child.run("bool((held == 1).all())")
    del ours
    successor = NdShArray(name, r_w="w", transport=transport)  # looks again
    for count in range(200, 300):
        successor.write(np.full(100, count))
    assert child.run("bool((held == 1).all())")
    child.run("del held")
    child.run("r.close()")
    assert (pins(successor), owners(successor)) == ([], [])
    successor.close()
    writer.close()


@pytest.mark.parametrize("cleaned", [False, True])
def test_the_entry_of_a_killed_reader_is_free_again_if_its_lock_file_tells(
    name: str, transport: str, root: Path, console: Any, cleaned: bool
) -> None:
    with NdShArray(name, np.full(100, 1), "w", transport=transport) as writer:
        child = console()
        child.run(f"r = NdShArray({name!r}, r_w='r', transport={transport!r})")
        child.run("held = r.read(copy=False)[1]")
        child.kill()
        if cleaned:
            clean(root)
        with NdShArray(name, r_w="r", transport=transport) as reader:
            reader.read(copy=False)
            # Without the file nobody knows whether its reader lives: one entry less, until close.
            assert owners(writer) == ([0, 1] if cleaned else [0])


def test_a_reader_that_lost_its_file_gets_another_entry_in_the_next_instance(
    name: str, transport: str, root: Path
) -> None:
    first = NdShArray(name, r_w="r", transport=transport)
    with NdShArray(name, np.array(1), "w", transport=transport):
        assert first.read(copy=False)[0]
    clean(root)
    with NdShArray(name, np.array(2), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as second:
            _, seconds = second.read(copy=False)
            _, firsts = first.read(copy=False)
            assert (int(seconds), int(firsts)) == (2, 2)
            assert len(owners(writer)) == len(pins(writer)) == 2
            del seconds, firsts
        first.close()
        assert owners(writer) == pins(writer) == []


def test_a_file_that_is_removed_during_the_claim_makes_it_void(
    name: str, transport: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_owner = ndsharray._protocol.seqlock.set_owner
    removals = []

    def and_remove(*arguments: Any) -> None:
        set_owner(*arguments)
        if not removals:
            removals.append(lock_files(root))
            clean(root)

    monkeypatch.setattr(ndsharray._registry.entries, "set_owner", and_remove)
    with NdShArray(name, np.array(1), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            _, array = reader.read(copy=False)
            assert removals
            assert pins(writer) == [4]  # the second entry's; nobody has the first one
            assert owners(writer) == [0, 1]
            assert len(lock_files(root)) == 1
            del array


def test_a_claim_that_comes_too_late_leaves_the_others_pins(
    name: str, transport: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_claim = ndsharray._registry.entries._may_claim
    answers: list[bool] = []

    def and_another_comes_first(control: Any, *arguments: Any) -> bool:
        answers.append(may_claim(control, *arguments))
        if len(answers) == 2:  # of the claim: its file is removed now, and somebody makes another
            clean(root)
            control.bytes[PINS_BYTE] = 2
        return answers[-1]

    with NdShArray(name, np.array(1), "w", transport=transport) as writer:
        monkeypatch.setattr(ndsharray._registry.entries, "_may_claim", and_another_comes_first)
        with NdShArray(name, r_w="r", transport=transport) as reader:
            _, array = reader.read(copy=False)
            assert answers[:2] == [True, True]
            assert pins(writer) == [0, 4]
            del array


def test_an_entry_that_was_claimed_between_two_looks_is_left_alone(
    name: str, transport: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire = ndsharray._system.lockfile.acquire
    asked: list[str] = []
    others: list[NdShArray] = []
    with NdShArray(name, np.array(1), "w", transport=transport) as writer:

        def after_another(path: str, *arguments: Any, **options: Any) -> Any:
            if not asked and path.endswith("-r00"):
                asked.append(path)
                others.append(NdShArray(name, r_w="r", transport=transport))
                others[0].read(copy=False)
                clean(root)
            return acquire(path, *arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(ndsharray._system.lockfile, "acquire", after_another)
            reader = NdShArray(name, r_w="r", transport=transport)
        reader.read(copy=False)
        assert pins(writer) == [0, 4]
        reader.close()
        others[0].close()
        assert owners(writer) == []
