"""Remove each guard of the protocol in turn, in a copy, and see that a test turns red.

A guard is marked where it stands, by a comment ``guard: its-name`` at the end of its line or on a
line of its own above; so it may move, and what is around it may be renamed. Fences are found by the
names that they are called with.

Run as a program; it prints a line for each guard, with the test that turned red, and fails if any
removal goes unnoticed.
Arguments choose: the guards in whose names all of them occur.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent

# What becomes of a marked line: the statement is left out; its condition is taken for false, or for
# true; or a pattern of it is replaced.
DROP = "drop"
FALSE = (r"\bif .*:", "if False:")
TRUE = (r"\bif .*:", "if True:")

GUARDS: dict[str, str | tuple[str, str]] = {
    "second-look-at-the-pins": FALSE,
    "first-look-at-the-pins": FALSE,
    "newest-is-passed-by": FALSE,
    "second-look-at-seq": ("return .*", "return True"),
    "second-look-at-seq-before-an-error": TRUE,
    "first-look-at-seq": FALSE,
    "newest-again-after-the-table": (" if .* else None$", ""),
    "seq-odd-before-the-payload": DROP,
    "no-stamp-of-another-frame": (" or .*:", ":"),
    "record-before-publish": ("$", "; record.newest_frame = (0, 0)"),
    "settle-after-an-interrupt": DROP,
    "left-after-interrupted-publish": DROP,
    "settle-before-the-end": DROP,
    "header-unknown-before-it-is-touched": DROP,
    "second-try-pinned": (r"self\._copied or ", ""),
    "table-after-a-failed-try": (r"\w+ or ", ""),
    "out-pinned-at-once": ("= PINS_FROM", "= _NEVER"),
    "array-in-place-guarded": DROP,
    "pin-lives-as-long-as-the-base": ("= .*", "= array"),
    "pin-cleared-after-an-interrupt": ("= .*", "= None"),
    "pins-forgotten-in-a-child": DROP,
    "memory-detached-in-a-child": DROP,
    "slots-detached-in-a-child": DROP,
    "no-store-in-a-child": FALSE,
    "unlink-under-the-lock": (r"not [\w.]+ or ", ""),
    "entry-kept-for-the-last-array": TRUE,
    "in-order-table-tells": ("if .* else", "if self.side.table_index == word & 1 else"),
    "in-order-left-segment-first": (r"\S.*", "False"),
    "in-order-up-to-newest": (r" <= 2 \* limit", ""),
    "bridge-numbers-rise": FALSE,
    "bridge-exports-no-import": ("= .*", "= set()"),
    "bridge-beside": FALSE,
    "bridge-spares-a-living-writer": TRUE,
    "bridge-bounded": FALSE,
    "waiting-byte": DROP,
    "chosen-frames-held-at-once": ("if all", "if not choice.ready or all"),
    "second-look-moves-nothing": ("= progress", "= cursor.position, cursor._frame_id"),
    "held-by-its-frame": DROP,
    "held-frames-dropped-in-a-child": DROP,
    "waiting-byte-cleared": DROP,
    "newest-again-before-sleeping": ("return .* and ", "return "),
    "state-before-sleeping": (" and .*", ""),
    "wake": DROP,
    "wake-the-long-way": DROP,
    "wake-at-close": DROP,
    "dead-entries-cleared": DROP,
    "entry-of-another-owner": ("return .*", "return True"),
    "no-new-file-for-an-entry-with-an-owner": ("make=[^)]*", "make=True"),
    "path-after-claim": DROP,
    "released-entry-has-no-owner": DROP,
    "entry-cleared-once-it-is-ours": ("^ *", r"\g<0>_clear(control, self.index); "),
    "next-recorded-before-it-is-made": DROP,
    "table-index-not-named": ("1 - ", ""),
    "followed-segment-stays": (r" - \{.*\}", ""),
    "recorded-names-removed": (r"self\..*", "self._names = {named.segment}"),
    "nested-call-refused": FALSE,
    "other-thread-refused": (r"\(False\)", "(True)"),
    "loan-ended-too-late": DROP,
    "jump-at-take-over": ("= .*", "= 0"),
    "other-positions-in-place": ("= .*", "= 0"),
    "instance-made-anew": (" or .*", " or True"),
    "grow-when-far-ahead": ("= .*", "= 2**40"),
    "path-after-lock": TRUE,
    "lock-file-for-writers-alone": DROP,
    "lock-file-tightened": DROP,
    "lock-closed-in-a-child": DROP,
    "head-confirmed": (r" or not self\.side\.confirm\(position\)", ""),
    "header-confirmed": FALSE,
    "head-up-to-newest": (" <= limit", ""),
    "head-of-another-segment": ("failed or ", ""),
    "state-after-the-lock-file": ("return .*", 'return "killed"'),
    "pages-reserved": (r"os\..*", "os.ftruncate(fd, size)"),
    "view-own-name": FALSE,
    "view-own-pages": FALSE,
    "view-token": FALSE,
    "view-looks-only": FALSE,
    "view-token-in-no-command-line": (r"Path\(path\)\.as_uri\(\)", "url"),
    "view-pins-nothing": ("patience", "patience, copy=False"),
}
# name: what stands in one line of the package, what stands there without the fence
FENCES = {
    f"fence-{name}": (f'("{name}")', f'.__class__  # "{name}"')
    for name in "W0 W1 W2 W4 R0 R1 R2 R3 R4 R6 R7 R8 R9 R10 R11 W5".split()
} | {
    "fence-W3": ('self._full("W3")\n', "pass\n"),
    "fence-R5": ('make_fence()("R5")', "pass"),
    "fence-R5-of-an-array-in-place": ("return [store, acquire, release]", "return [store]"),
}

TESTS = [
    f"tests/{part}.py"
    for part in """
        unit/protocol/test_access_order unit/protocol/test_access_order_of_waiting
        unit/registry/test_reader_entries unit/registry/test_made_anew_in_place
        unit/system/test_lock_files unit/registry/test_probe api/test_writer_state
        unit/reader/test_in_place processes/test_waiting_for_a_frame
        api/test_loan api/test_ndsharray api/test_stamps api/test_read_set
        faults/test_forks_inside_calls faults/test_full_shm faults/test_interrupts
        processes/test_every_end processes/test_forked_read_set faults/test_kills_at_every_step
        tools/test_view_server tools/test_view_command tools/test_bridge
    """.split()
]
_MARK = re.compile(r"# (?:.*; )?guard: ([\w, -]+)$")


def marked(text: str) -> dict[str, int]:
    """Return the lines of a module that are guards, counted from 0, by the guards' names."""
    lines, found = text.split("\n"), {}
    for number, line in enumerate(lines):
        mark = _MARK.search(line)
        if mark is not None:
            at = number
            while lines[at].lstrip().startswith("#"):
                at += 1
            found.update(dict.fromkeys(mark[1].split(", "), at))
    return found


def without(text: str, line: int, how: str | tuple[str, str]) -> str:
    """Return a module's text without what stands in a line."""
    lines = text.split("\n")
    if how == DROP:
        (statement,) = (
            node
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.stmt) and node.lineno == line + 1
        )
        rest = range(line + 1, statement.end_lineno or line + 1)
        lines[line] = " " * statement.col_offset + "pass"
    else:
        rest = range(0)
        code = re.sub(r"  # .*", "", lines[line])
        lines[line] = re.sub(how[0], how[1], code, count=1)
        if lines[line] == code:
            raise SystemExit(f"nothing is left out of: {code}")
    for number in reversed(rest):
        del lines[number]
    return "\n".join(lines)


def mutant(package: Path, name: str) -> tuple[Path, str]:
    """Return the module in which a guard stands, and its text without it."""
    found = []
    for path in sorted(package.rglob("*.py")):
        text = path.read_text(encoding="utf8")
        if name in FENCES:
            there, instead = FENCES[name]
            found += [(path, text.replace(there, instead))] * text.count(there)
        elif name in (lines := marked(text)):
            found.append((path, without(text, lines[name], GUARDS[name])))
    if len(found) != 1:
        raise SystemExit(f"{name}: stands in {len(found)} places of the package")
    return found[0]


def noticed(copy: Path, name: str) -> str:
    """Apply one mutant, run the tests until one fails, which is returned, and take it back."""
    path, changed = mutant(copy / "ndsharray", name)
    text = path.read_text(encoding="utf8")
    path.write_text(changed, encoding="utf8")
    red = first_red(copy)
    path.write_text(text, encoding="utf8")
    return red


def first_red(copy: Path) -> str:
    """Run the tests until one fails, and return its name; empty if all pass."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *TESTS]
    command += ["--tb=no"]  # CPython 3.11 may fail to parse what the report shows: gh-106905
    command += ["--timeout=60", "-k", "not 2_gib and not pickled and not supported_type"]
    ended = subprocess.run(
        command,
        cwd=copy,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(copy)},
        check=False,
    )
    if ended.returncode > 1:  # pytest's own errors: nothing was run, or not to its end
        raise SystemExit(f"pytest ended with {ended.returncode}:\n{ended.stdout[-5000:]}")
    if ended.returncode == 0:
        return ""
    named = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", ended.stdout, re.MULTILINE)
    return named[1] if named else f"pytest ended with {ended.returncode}"


def main() -> int:
    names = [name for name in [*GUARDS, *FENCES] if all(word in name for word in sys.argv[1:])]
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
        if red := first_red(copy):  # else each guard would seem to be noticed
            raise SystemExit(f"a test fails with all guards in place: {red}")
        for name in names:
            red = noticed(copy, name)
            print(f"noticed   {name}: {red}" if red else f"SURVIVES  {name}", flush=True)
            survivors += [] if red else [name]
    print(f"{len(names) - len(survivors)} of {len(names)} removed guards were noticed")
    return 1 if survivors else 0


if __name__ == "__main__":
    raise SystemExit(main())
