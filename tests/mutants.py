"""Remove each guard of the protocol in turn, in a copy, and see that a test turns red.

Run as a program; it prints a line for each guard and fails if any removal goes unnoticed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent

# name: (file, what stands there, what stands there without the guard)
MUTANTS = {
    "second look at the pins": (
        "_seqlock.py",
        "if index + 1 in load_pins():\n                words[at]",
        "if False:\n                words[at]",
    ),
    "first look at the pins": (
        "_seqlock.py",
        "if index + 1 in load_pins():\n                continue",
        "if False:\n                continue",
    ),
    "newest is passed by": (
        "_seqlock.py",
        "if not (position - newest) % slots:",
        "if False:",
    ),
    "second look at seq": (
        "_seqlock.py",
        "return (taken, number, written, index, view) if words[at] == seq else None",
        "return (taken, number, written, index, view)",
    ),
    "second look at seq before a FormatError": (
        "_seqlock.py",
        "if self.still_valid(position):",
        "if True:",
    ),
    "first look at seq": (
        "_seqlock.py",
        "if words[at] != seq:  # the first word",
        "if False:",
    ),
    "newest again after the table": (
        "_seqlock.py",
        "return (word, Table(*table)) if words[NEWEST_WORD] == word else None",
        "return (word, Table(*table))",
    ),
    "seq odd before the payload": ("_seqlock.py", "words[at] = 2 * position - 1", "pass"),
    "record before publish": (
        "_seqlock.py",
        "self._control[NEWEST_WORD] = seq + self.copy\n",
        "self._control[NEWEST_WORD] = seq + self.copy\n        self.newest_frame = (0, 0)\n",
    ),
    "settle after an interrupt": (
        "_writer.py",
        "            frames.side.settle()\n            if self._table",
        "            if self._table",
    ),
    "left after an interrupted publish": (
        "_writer.py",
        "                self._leave(frames)\n",
        "                pass\n",
    ),
    "settle before the end": (
        "_writer.py",
        "self._frames.side.settle()  # the last frame's number",
        "pass  # the last frame's number",
    ),
    "header unknown before it is touched": (
        "_frames.py",
        "self._views[index] = _NOT_KNOWN",
        "pass",
    ),
    "second try pinned": ("_take.py", "pinned_from = 1", "pinned_from = 9"),
    "table again after a failed try": (
        "_follow.py",
        "if again or word & 1 != side.copy:",
        "if word & 1 != side.copy:",
    ),
    "out= pinned at once": ("_take.py", "pinned_from = 0  # so", "pinned_from = 9  # so"),
    "array in place guarded": ("_pins.py", "watches.append(Watch(base, unpin))", "pass"),
    "pin lives as long as the base": (
        "_pins.py",
        "        base = _lifeline(array)",
        "        base = array",
    ),
    "pin let go after an interrupt": (
        "_pins.py",
        "        which = self.open\n",
        "        which = None\n",
    ),
    "pins forgotten in a forked child": (
        "_pins.py",
        "        self._forget()\n        _exit.ended(self)",
        "        _exit.ended(self)",
    ),
    "words and bytes detached in a forked child": (
        "_memory.py",
        "        self.words.release()\n        self.cells.release()\n",
        "        pass\n",
    ),
    "slots detached in a forked child": ("_frames.py", "view.flags.writeable = False", "pass"),
    "a parent's array is not made over by its child": (
        "_leftovers.py",
        "    if lease.forked:",
        "    if False:",
    ),
    "a parent's names are not removed by its child": (
        "_leftovers.py",
        "return lease.forked or address",
        "return address",
    ),
    "cell kept for the last array": (
        "_pins.py",
        "        if not any(base is not None for base in bases):\n",
        "        if True:\n",
    ),
    "in order: the table tells what was published": (
        "_follow.py",
        "if word == self._table_word else",
        "if self.side.copy == word & 1 else",
    ),
    "in order: the segment left behind first": (
        "_follow.py",
        "side.frames is not None\n            and side",
        "False\n            and side",
    ),
    "in order: up to newest": (
        "_seqlock.py",
        "if 2 * above < seq <= 2 * limit and not seq & 1",
        "if 2 * above < seq and not seq & 1",
    ),
    "waiting byte": ("_seqlock.py", "self._bytes[WAITING_BYTE + cell] = 1", "pass"),
    "waiting byte cleared": ("_seqlock.py", "self._bytes[WAITING_BYTE + cell] = 0", "pass"),
    "newest again before sleeping": (
        "_follow.py",
        "if word == self._seen and side.is_live():",
        "if side.is_live():",
    ),
    "state before sleeping": (
        "_follow.py",
        "if word == self._seen and side.is_live():",
        "if word == self._seen:",
    ),
    "wake": ("_writer.py", f"{6 * '    '}self._control.wake()\n", f"{6 * '    '}pass\n"),
    "wake the long way": (
        "_writer.py",
        "\n            self._control.wake()\n",
        "\n            pass\n",
    ),
    "wake at close": ("_control.py", "            self.wake()\n", "            pass\n"),
    "dead cells cleared": (
        "_writer.py",
        "            self._clear_dead_cells()\n",
        "            pass\n",
    ),
    "a cell with another owner is left alone": (
        "_cell.py",
        "return control.words[OWNERS_WORD + number] in (0, lease.number)",
        "return True",
    ),
    "no new lease file for a cell with an owner": ("_cell.py", "make=free)", "make=True)"),
    "path looked at after a claim": (
        "_cell.py",
        "            return False  # its file was removed: perhaps somebody else came first",
        "            pass",
    ),
    "a cell that is let go has no owner": (
        "_cell.py",
        "clear_owner(control, self.number)",
        "pass",
    ),
    "a cell is cleared after it is known to be ours": (
        "_cell.py",
        "        set_owner(control, self.number, lease.number)\n",
        "        _clear(control, self.number)\n"
        "        set_owner(control, self.number, lease.number)\n",
    ),
    "next recorded before it is made": (
        "_control.py",
        "self.memory.words[_layout.NEXT_WORD] = self._next",
        "pass",
    ),
    "the table copy that newest does not name": (
        "_control.py",
        "copy = 1 - (newest & 1)",
        "copy = newest & 1",
    ),
    "the followed segment stays until the next is published": (
        "_control.py",
        "self.remove_frames(keep)",
        "self.remove_frames()",
    ),
    "what a killed writer recorded is removed": (
        "_control.py",
        "self.remove_frames(named.segment if position else 0)",
        "self._names = {named.segment}",
    ),
    "a nested call is refused": (
        "_reader.py",
        "            if turn.busy and turn.is_nested():\n",
        "            if False:\n",
    ),
    "another thread is refused": (
        "_reader.py",
        "if not lock.acquire(False):",
        "if not lock.acquire(True):",
    ),
    "a loan that ended too late": (
        "_writer.py",
        "        if publish:\n            self._check_open()",
        "        if publish:\n            pass",
    ),
    "jump at take over": ("_writer.py", "_TAKE_OVER_JUMP = 2**16", "_TAKE_OVER_JUMP = 0"),
    "grow when far ahead": ("_writer.py", "_MAX_AHEAD = 2**15", "_MAX_AHEAD = 2**40"),
    "path looked at after a lease is taken": (
        "_lease.py",
        'if self.standing() == "held":\n                    _tighten',
        "if True:\n                    _tighten",
    ),
    "lock files are for writers alone": (
        "_lease.py",
        "    mode = _mode_for(mode)\n",
        "    pass\n",
    ),
    "a lock file of ours is tightened": (
        "_lease.py",
        "                    _tighten(self._fds[0], found, mode)\n",
        "                    pass\n",
    ),
    "child closes its copy of a lease": (
        "_lease.py",
        "        self.forked = True\n        self.abandon()",
        "        self.forked = True",
    ),
    "pages reserved": (
        "backends/pages.py",
        "os.posix_fallocate(fd, offset, min(_RESERVE_STEP, size - offset))",
        "os.ftruncate(fd, size)",
    ),
}
for fence in "W0 W1 W2 W4 R0 R1 R3 R4 R6 R7 R8 R9 R10 R11 W5".split():
    MUTANTS[f"fence {fence}"] = ("_seqlock.py", f'("{fence}")', f'.__class__  # "{fence}"')
MUTANTS["fence W3"] = ("_seqlock.py", 'self._full("W3")\n', "pass\n")
MUTANTS["fence R2"] = ("_seqlock.py", 'order("R2")  # payload', "pass  # payload")
MUTANTS["fence R5"] = ("_seqlock.py", 'make_fence()("R5")', "pass")
MUTANTS["fence R5 of an array in place"] = (
    "_seqlock.py",
    "return [store, acquire, release]",
    "return [store]",
)

PARTS = "fork protocol protocol_waiting lease cells full in_place wait loan lifetime interrupts"
TESTS = [f"tests/test_{part}.py" for part in f"{PARTS} ndsharray crashes".split()]


def survives(copy: Path, name: str) -> bool:
    """Apply one mutant, run the tests until one fails, and take the mutant back."""
    file, there, without = MUTANTS[name]
    path = copy / "ndsharray" / file
    text = path.read_text(encoding="utf8")
    found = len(re.findall(re.escape(there), text))
    if found != 1:
        raise SystemExit(f"{name}: stands {found} times in {file}; mend this list")
    path.write_text(text.replace(there, without), encoding="utf8")
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *TESTS]
    command += ["--timeout=60", "-k", "not 2_gib and not pickled and not supported_type"]
    ended = subprocess.run(
        command,
        cwd=copy,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(copy)},
        check=False,
    )
    path.write_text(text, encoding="utf8")
    return ended.returncode == 0


def main() -> int:
    names = [name for name in MUTANTS if all(word in name for word in sys.argv[1:])]
    survivors = []
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory)
        for part in ("ndsharray", "tests", "pyproject.toml"):
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(
                    source, copy / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
                )
            else:
                shutil.copy(source, copy / part)
        for name in names:
            lives = survives(copy, name)
            print(f"{'SURVIVES' if lives else 'noticed '}  {name}", flush=True)
            survivors += [name] * lives
    print(f"{len(names) - len(survivors)} of {len(names)} removed guards were noticed")
    return 1 if survivors else 0


if __name__ == "__main__":
    raise SystemExit(main())
