"""Check the models of the protocol: each claim holds, and each fence that is taken out is missed.

    python tests/model/run.py [word ...] [--long] [--list] [--litmus]

Words choose rows by model, flags or question. Needs spin and gcc. A row takes seconds; those that
are marked long have larger bounds, and run with --long only. The end is 1 if anything came out
otherwise than the table says: also a removed fence that is not noticed, and a search that was cut
off. --litmus runs herd7 over litmus/ instead.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
HOLDS, FAILS = "holds", "fails"
DEPTH = 2_000_000
MEGABYTES = 3000

# Model and flags | expected; long: only with --long | what is asked, or what stands in for a fence
_TABLE = """
slots_weak COPY                        | holds | copying
slots_weak COPY NO_W1                  | holds | copying: W4 does the work
slots_weak COPY NO_W1 NO_W4            | fails | copying: seq before payload
slots_weak COPY NO_W2                  | fails | copying: payload before seq
slots_weak COPY NO_R1                  | fails | copying: seq before payload
slots_weak COPY NO_R2                  | fails | copying: payload before seq
slots_weak LOOK                        | holds | in place
slots_weak LOOK NO_W1                  | fails | in place: seq before the look at the pins
slots_weak LOOK NO_W2                  | fails | in place: payload before seq
slots_weak LOOK NO_W4                  | holds | in place: the branch does the work
slots_weak LOOK NO_W4 NO_BRANCH        | fails | in place: look at the pins before payload
slots_weak LOOK NO_R1                  | fails | in place: seq before the slot's words
slots_weak LOOK NO_R2                  | holds | in place: no second look is needed
slots_weak LOOK NO_R3                  | holds | in place: R1 and the second look do the work
slots_weak LOOK NO_R5                  | fails | in place: last loads before the unpin
table_weak                             | holds | tables
table_weak NO_W2                       | fails | tables: table before newest
table_weak NO_W3                       | fails | tables: newest before the next change
table_weak NO_R6                       | fails | tables: newest before table
table_weak NO_R7                       | fails | tables: table before newest
in_order_weak                          | holds | in order
in_order_weak NO_R8                    | holds | in order: R6 and R7 do the work
in_order_weak NO_R6 NO_R7              | holds | in order: R8 does the work
in_order_weak NO_R6 NO_R7 NO_R8        | fails | in order: newest before the seqs
in_order_weak NO_W3                    | holds | in order: W1, W2, W4 and W5 do the work
in_order_weak NO_W1 NO_W2 NO_W3 NO_W4  | fails | in order: newest before the next write
in_order_weak NO_W5                    | fails | in order: the last number before closed
in_order_weak NO_R9                    | fails | in order: closed before the last newest
waiting_weak                           | holds | waiting
waiting_weak NO_W3                     | fails | waiting: newest before the look at who waits
waiting_weak NO_R4                     | fails | waiting: the waiting byte before newest
ready_weak                             | holds | ready
ready_weak NO_W0                       | fails | ready: all before ready
ready_weak NO_R0                       | fails | ready: ready before all
slots                                  | holds | slots
slots FRAMES=6 READS=3                 | holds long | slots: more of both
slots SLOTS=2 FRAMES=5                 | holds | slots: two only
slots READERS=2                        | holds long | slots: two readers
slots INTERRUPTS=1                     | holds | slots: an interrupted write
slots INTERRUPTS=2 READERS=2 FRAMES=3  | holds long | slots: two interrupted writes
slots TSO                              | holds | slots
slots TSO SLOTS=2 FRAMES=5             | holds long | slots: two only
slots TSO INTERRUPTS=1                 | holds long | slots: an interrupted write
slots TSO READERS=2 FRAMES=3           | holds long | slots: two readers
slots TSO NO_W1                        | fails | slots: seq before the look at the pins
slots TSO NO_R3                        | fails | slots: the pin before seq
slots NO_SECOND_LOOK                   | fails | slots: the pins are looked at twice
slots INTERRUPTS=1 NO_SETTLE           | fails | slots: the next write settles
slots INTERRUPTS=1 PUBLISH_FIRST       | fails | slots: own record first
waiting                                | holds | waiting
waiting TSO                            | holds | waiting
waiting TSO DEAD                       | holds long | waiting: a killed reader's byte
waiting DEAD                           | holds | waiting: a killed reader's byte
waiting TSO NO_W3                      | fails | waiting: newest before the look at who waits
waiting TSO NO_R4                      | fails | waiting: the waiting byte before newest
waiting NO_SECOND_LOOK                 | fails | waiting: only on the word that was seen
waiting NO_COMPARE                     | fails | waiting: the system compares
waiting CLOSE                          | fails | waiting: the wake at close can be missed
waiting CLOSE NAP                      | holds | waiting: hence the nap
waiting TSO CLOSE NAP                  | holds long | waiting: hence the nap
grow                                   | holds | grow
grow TSO                               | holds | grow
grow READS=0 PASS                      | holds | grow: a late reader
grow PASS                              | holds long | grow: slots passed by
grow READS=0 WRITERS=3 KILLS=2         | holds long | grow: a late reader after two kills
grow PASS NO_JUMP                      | fails | grow: a successor jumps
grow MAKE_FIRST                        | fails | grow: recorded, then made
grow ONE_TABLE                         | fails | grow: two tables
grow REMOVE_FIRST                      | fails | grow: published, then removed
grow NO_AGAIN                          | fails | grow: the table again after a failed try
in_order                               | holds | in order
in_order INTERRUPTS=1                  | holds | in order: an interrupted write
in_order KILLS=1                       | holds | in order: a take-over
in_order ALL SLOTS=5                   | holds | in order: none left out
in_order TSO ALL SLOTS=5               | holds | in order: none left out
in_order INTERRUPTS=1 ALL SLOTS=6      | holds long | in order: none left out
in_order GROWS=2 FRAMES=4 KILLS=1      | holds long | in order: more growing
in_order KILLS=1 NO_LIMIT              | fails | in order: the table's limit
in_order INTERRUPTS=1 NO_SETTLE        | fails | in order: the next write settles
in_order CLOSED_LATE                   | fails | in order: closed is looked at first
in_order ALL SLOTS=5 NO_PREVIOUS       | fails | in order: the left segment first
lock_files                             | holds | lock files
lock_files KILLS=2                     | holds long | lock files
lock_files WRITERS=2                   | holds long | lock files: three writers
lock_files WRITERS=2 KILLS=2           | holds long | lock files: three writers
lock_files NO_CHECK                    | fails | lock files: the path is looked at again
lock_files LOCK_FILE_FIRST             | fails | lock files: names, then lock file
lock_files CONTROL_FIRST               | fails | lock files: frames, then control segment
lock_files NO_MARK                     | holds | lock files: the look-up does the work
lock_files NO_LOOK_UP                  | holds | lock files: the mark does the work
lock_files NO_MARK NO_LOOK_UP          | fails | lock files: closed is stored, or the name looked up
lock_files NO_SPARE                    | fails | lock files: readers are asked for again
entries                                | holds | entries: a kill
entries TSO FRESH KILLS=0              | holds long | entries
entries TSO FRESH                      | holds long | entries: a kill
entries CLEANS=2 FRESH KILLS=0         | holds long | entries: two files removed
entries NO_OWNER                       | fails | entries: hence owners
entries TSO NO_R10                     | fails | entries: the owner before the look at the path
entries NO_R11                         | fails | entries: pins before free
entries CLEAR_FIRST                    | fails | entries: cleared once it is surely ours
entries CLEAR_FREE                     | fails | entries: the writer clears what has an owner
entries CLEANS=2                       | fails | entries: inodes that are used again
"""


class Row(NamedTuple):
    """One search: a model with its flags, and what it is expected to say."""

    model: str
    flags: str
    expected: str
    why: str
    slow: bool = False  # only with --long

    @property
    def name(self) -> str:
        """How tests and people call it."""
        return " ".join([self.model, *self.flags.split()])


class Result(NamedTuple):
    """What a search said."""

    verdict: str  # HOLDS, FAILS, or what went wrong with the search itself
    states: int
    seconds: float
    trace: str  # how it ends, where it should not fail


def rows() -> list[Row]:
    """Return the table."""
    table = []
    for line in _TABLE.strip().splitlines():
        call, expected, why = (part.strip() for part in line.split("|"))
        model, _, flags = call.partition(" ")
        verdict, _, mark = expected.partition(" ")
        table.append(Row(model, flags, verdict, why, mark == "long"))
    return table


def missing_tools() -> list[str]:
    """Return the programs that are needed and not there."""
    return [tool for tool in ("spin", "gcc") if shutil.which(tool) is None]


def check(row: Row, limit: float = 600.0) -> Result:
    """Search all states of a row's model."""
    flags = [f"-D{flag}" for flag in row.flags.split()]
    source = str(HERE / f"{row.model}.pml")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as directory:

        def call(*command: str) -> str:
            done = subprocess.run(
                command,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf8",
                timeout=limit,
                check=False,
            )
            return done.stdout

        made = call("spin", *flags, "-a", source)
        # Small searches are over before an optimizer has begun.
        level = "-O2" if row.slow else "-O0"
        options = ["-DSAFETY", "-DCOLLAPSE", "-DVECTORSZ=4096", f"-DMEMLIM={MEGABYTES}"]
        made += call("gcc", level, "-w", *options, "-o", "pan", "pan.c")
        if not (Path(directory) / "pan").exists():
            return Result(f"not made: {made.strip()[:500]}", 0, time.perf_counter() - start, "")
        said = call(str(Path(directory) / "pan"), "-w20", f"-m{DEPTH}")
        seconds = time.perf_counter() - start
        trace = ""
        trails = list(Path(directory).glob("*.trail"))
        if trails and row.expected != FAILS:
            end = call("spin", *flags, "-k", str(trails[0]), "-p", "-g", "-l", source)
            trace = "\n".join(end.splitlines()[-60:])
    return Result(judge(said), count(said), seconds, trace)


def judge(said: str) -> str:
    """Return the verdict of what the search printed."""
    errors = re.search(r"errors: (\d+)", said)
    if errors is None:
        return f"no verdict: {said.strip()[-200:]}"
    for trouble in ("max search depth too small", "out of memory", "memory limit", "too many"):
        if trouble in said:
            return f"cut off: {trouble}"
    if errors[1] != "0":
        return FAILS
    return "cut off: search not completed" if "Search not completed" in said else HOLDS


def count(said: str) -> int:
    """Return how many states the search met."""
    states = re.search(r"(\d+) states, stored", said)
    return int(states[1]) if states else 0


def chosen(words: list[str], long: bool) -> list[Row]:
    """Return the rows that have all the words."""
    return [
        row
        for row in rows()
        if (long or not row.slow) and all(word in f"{row.name} {row.why}" for word in words)
    ]


def main() -> int:
    """Run the rows asked for; return 1 if any surprised."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("words", nargs="*", help="run only rows that have all these words")
    parser.add_argument("--long", action="store_true", help="also the rows with larger bounds")
    parser.add_argument("--list", action="store_true", help="show the table, run nothing")
    parser.add_argument("--litmus", action="store_true", help="run herd7 over litmus/ instead")
    given = parser.parse_args()
    if given.litmus:
        return subprocess.run(["sh", str(HERE / "litmus" / "run.sh")], check=False).returncode
    table = chosen(given.words, given.long)
    if given.list:
        for row in table:
            print(f"{row.expected:5}  {row.name:44}  {row.why}")
        return 0
    if missing_tools():
        print(f"not found: {', '.join(missing_tools())}")
        return 1
    surprises = 0
    start = time.perf_counter()
    for row in table:
        result = check(row)
        surprise = result.verdict != row.expected
        surprises += surprise
        mark = f"  EXPECTED: {row.expected}" if surprise else ""
        line = f"{row.name:44} {result.states:>11,} states {result.seconds:6.1f} s"
        print(f"{line}  {result.verdict}{mark}", flush=True)
        if surprise and result.trace:
            print(result.trace)
    print(f"{len(table)} rows, {surprises} surprises, {time.perf_counter() - start:.0f} s")
    return 1 if surprises or not table else 0


if __name__ == "__main__":
    sys.exit(main())
