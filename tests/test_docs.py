"""Runs the documentation: every Python block, every transcript, and the numbers of the format page.

The blocks of a page run in order in one fresh interpreter; one with the caption ``Console 1`` in an
interpreter of that name, so that a page can have two. What a block prints has to stand on the page,
behind its prompts; a block without prompts prints nothing. A block whose caption is the name of
a file is that file, and ``$ python file.py`` in a ``console`` block runs it.

A MyST comment before a block says what else it wants: ``% needs: torch`` (the page runs once more,
with these blocks, where that can be imported), ``% waits`` (a block in another console that
follows has to come to its help).
"""

from __future__ import annotations

import doctest
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from console import Console
from processes import define

import ndsharray
from ndsharray._protocol import format
from ndsharray.backends import base

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))
TIMEOUT = 60
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

both_transports = pytest.mark.parametrize("transport", ["mmap", "posix_shm"])

# In each console. A block that waits for what never comes ends with its process.
RUNNER = f"""
import ast, asyncio, contextlib, doctest, faulthandler, inspect, io, traceback

namespace = {{"__name__": "__main__"}}

def run_block(code, page, line):
    faulthandler.dump_traceback_later({TIMEOUT}, exit=True)
    printed, wrong = io.StringIO(), ""
    with contextlib.redirect_stdout(printed):
        try:
            if code.startswith(">>>"):
                wrong = run_prompts(code, page, line)
            else:
                run_code(code, page, line)
        except BaseException:
            wrong = traceback.format_exc()
    faulthandler.cancel_dump_traceback_later()
    return wrong or printed.getvalue() and "printed: " + printed.getvalue()

def run_prompts(code, page, line):
    test = doctest.DocTestParser().get_doctest(code, {{}}, page, page, line)
    test.globs = namespace
    told = []
    runner = doctest.DocTestRunner(optionflags={FLAGS}, verbose=False)
    runner.run(test, out=told.append, clear_globs=False)
    return "".join(told)

def run_code(code, page, line):
    code = compile("\\n" * line + code, page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, namespace)
    if inspect.iscoroutine(result):
        asyncio.run(result)
"""


class Block(NamedTuple):
    """A fenced block of a page."""

    line: int
    language: str
    caption: str
    code: str
    needs: frozenset[str]
    waits: bool

    @property
    def is_file(self) -> bool:
        return re.fullmatch(r"\w+\.py", self.caption) is not None


_FENCE = re.compile(r"```(?:\{code-block\} )?([a-z]+)")


def blocks_of(page: str) -> list[Block]:
    """Return the blocks of a page that have a language, in order."""
    lines = (DOCS / page).read_text(encoding="utf8").split("\n")
    found: list[Block] = []
    comments: list[str] = []
    at = 0
    while at < len(lines):
        line, at = lines[at], at + 1
        if line.startswith("% "):
            comments.append(line[2:])
            continue
        fence = _FENCE.fullmatch(line)
        if fence:
            end = lines.index("```", at)
            caption = ""
            while at < end and re.match(":[a-z-]+:", lines[at]):
                key, _, value = lines[at][1:].partition(": ")
                caption = value if key == "caption" else caption
                at += 1
            at += not lines[at]
            needs = [word for c in comments if c.startswith("needs: ") for word in c[7:].split()]
            code = "\n".join(lines[at:end]) + "\n"
            found.append(Block(at, fence[1], caption, code, frozenset(needs), "waits" in comments))
            at = end + 1
        comments.clear()
    return found


def runs_of(page: str) -> list[frozenset[str]]:
    """Return what a page is to be run with: nothing else, and each set of things it can use."""
    blocks = [block for block in blocks_of(page) if block.language in ("python", "console")]
    return sorted({block.needs for block in blocks}, key=sorted)


@cache
def missing(need: str) -> bool:
    """Tell whether something that a block needs is not here: a system, or a module."""
    if need == "Linux":
        return not sys.platform.startswith("linux")
    if need == "POSIX":
        return os.name != "posix"
    if need == "fork":
        return not hasattr(os, "fork")
    if need == "display":
        return sys.platform.startswith("linux") and "DISPLAY" not in os.environ
    # Not by looking for it: what is installed may lack a library of the system.
    tried = subprocess.run([sys.executable, "-c", f"import {need}"], capture_output=True)
    return tried.returncode != 0


class Page:
    """A page that is being run."""

    def __init__(self, page: str, folder: Path) -> None:
        self.page = page
        self.folder = folder
        self.consoles: dict[str, Console] = {}
        self.waiting: dict[str, Block] = {}

    def console(self, caption: str) -> Console:
        if caption not in self.consoles:
            console = self.consoles[caption] = Console()
            define(console, RUNNER)
        return self.consoles[caption]

    def run(self, block: Block) -> None:
        if block.is_file:
            (self.folder / block.caption).write_text(block.code, encoding="utf8")
        elif block.language == "console":
            self.run_transcript(block)
        elif block.language == "python":
            self.collect(block.caption)
            call = f"run_block({block.code!r}, {self.page!r}, {block.line})"
            self.console(block.caption).begin(call)
            self.waiting[block.caption] = block
            if not block.waits:
                self.collect(block.caption)
                for caption in list(self.waiting):  # this block was what they waited for
                    self.collect(caption)

    def collect(self, caption: str) -> None:
        """Wait for the block that was begun in a console."""
        block = self.waiting.pop(caption, None)
        if block is not None:
            wrong = self.consoles[caption].result()
            assert wrong == "", f"{self.page}, line {block.line}:\n{wrong}"

    def run_transcript(self, block: Block) -> None:
        """Run the commands of a transcript one by one, and compare what they print."""
        for command in re.split(r"(?m)^\$ ", block.code)[1:]:
            line, _, expected = command.partition("\n")
            program, *arguments = line.split()
            assert program == "python", f"{self.page}, line {block.line}: not to be run: {line}"
            done = subprocess.run(
                [sys.executable, "-W", "error", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=TIMEOUT,
            )
            assert done.returncode == 0, f"{self.page}: {line}\n{done.stdout}"
            same = doctest.OutputChecker().check_output(expected, done.stdout, FLAGS)
            assert same, f"{self.page}, line {block.line}: {line}\n{done.stdout}"

    def end(self) -> None:
        for caption in list(self.waiting):
            self.collect(caption)
        for caption, console in self.consoles.items():
            assert console.end() == 0, f"{self.page}, {caption}: {console.errors}"
            assert console.errors == "", f"{self.page}, {caption}"


@pytest.fixture
def run_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> Iterator[Any]:
    """Run a page in a folder of its own; whatever happens, no process is left."""
    monkeypatch.chdir(tmp_path)
    pages: list[Page] = []

    def run(name: str, uses: frozenset[str]) -> None:
        pages.append(page := Page(name, tmp_path))
        for block in blocks_of(name):
            if block.needs <= uses:
                page.run(block)
        page.end()

    yield run
    for page in pages:
        for console in page.consoles.values():
            console.end()  # within the time limit of a block


@pytest.mark.alternately
@both_transports
@pytest.mark.parametrize(
    ("page", "uses"),
    [
        pytest.param(page, uses, id=f"{page} with {' '.join(sorted(uses))}" if uses else page)
        for page in PAGES
        for uses in runs_of(page)
    ],
)
def test_the_blocks_of_a_page_run(
    page: str,
    uses: frozenset[str],
    transport: str,
    run_page: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = sorted(need for need in uses if missing(need))
    if gone:
        pytest.skip(f"needs {', '.join(gone)}")
    monkeypatch.setenv("NDSHARRAY_TRANSPORT", transport)
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    run_page(page, uses)


@pytest.mark.parametrize("page", PAGES)
def test_no_block_escapes(page: str) -> None:
    """A fence that is indented, longer, or of an unknown language would not be run."""
    text = (DOCS / page).read_text(encoding="utf8")
    fences = re.findall(r"^[ >\t]*`{3,}.*$", text, re.MULTILINE)
    ours = len(blocks_of(page))
    directives = [f for f in fences if re.match(r"`{3,}\{(?!code-block)", f)]
    assert len(fences) == 2 * (ours + len(directives)), fences
    known = {"python", "console", "text", "sh", "c", "ini", "toml", "yaml", "dockerfile"}
    assert {block.language for block in blocks_of(page)} <= known


def test_a_page_that_says_something_else_fails(run_page: Any, monkeypatch: Any) -> None:
    """The mechanism itself: wrong output, an exception, and output that nobody shows."""
    head = "import ndsharray\n"
    for code, why in [
        (">>> 1 + 1\n3\n", "Expected:"),
        (head + "1 / 0\n", "ZeroDivisionError"),
        (head + "print('seen')\n", "printed: seen"),
    ]:
        block = Block(1, "python", "", code, frozenset(), False)
        monkeypatch.setattr(sys.modules[__name__], "blocks_of", lambda _, block=block: [block])
        with pytest.raises(AssertionError, match=why):
            run_page("a page", frozenset())


# --- the numbers of the format page


def rows_of(page: str, heading: str) -> list[list[str]]:
    """Return the entries of the table under a heading, without its head."""
    text = (DOCS / page).read_text(encoding="utf8")
    section = text.partition(f" {heading}\n")[2].partition("\n#")[0]
    lines = [line for line in section.split("\n") if line.startswith("|")]
    rows = [[entry.strip().strip("`") for entry in line.strip("|").split("|")] for line in lines]
    assert len(rows) > 2, f"no table under {heading}"
    return rows[2:]


def number(entry: str) -> int:
    """Return the value of a number as the page writes it."""
    power = re.fullmatch(r"2\^(\d+)( - 1)?", entry)
    if power:
        return 2 ** int(power[1]) - (power[2] is not None)
    return int(entry.replace(",", ""), 0)


def test_the_constants_of_the_format_are_those_of_the_library() -> None:
    told = {name: number(value) for name, value, *_ in rows_of("format.md", "Constants")}
    there = {
        name.strip("_"): value
        for name, value in vars(format).items()
        if re.fullmatch("_?[A-Z][A-Z_]+", name) and type(value) is int
    }
    # The others are offsets: the next test.
    assert told == {k: v for k, v in there.items() if not re.search("_(WORD|BYTE|END)$", k)}


# Each field's name on the page, and where the library has it.
CONTROL = {
    "magic": 8 * format.MAGIC_WORD,
    "format version": 8 * format.VERSION_WORD,
    "ready": 8 * format.READY_WORD,
    "instance id": 8 * format.INSTANCE_WORD,
    "boot id": format.BOOT_BYTE,
    "monotonic clock": 8 * format.CLOCK_WORD,
    "wall clock": 8 * format.WALL_WORD,
    "name length": 8 * format.NAME_LENGTH_WORD,
    "name": format.NAME_BYTE,
    "table 0": 8 * format.TABLE_WORDS[0],
    "table 1": 8 * format.TABLE_WORDS[1],
    "next": 8 * format.NEXT_WORD,
    "state": 8 * format.STATE_WORD,
    "last frame": 8 * format.LAST_FRAME_WORD,
    "writer pid": 8 * format.PID_WORD,
    "taken": 8 * format.TAKEN_WORD,
    "newest": 8 * format.NEWEST_WORD,
    "waiting": format.WAITING_BYTE,
    "pins": format.PINS_BYTE,
    "owners": 8 * format.OWNERS_WORD,
}
SLOT = {
    "seq": 8 * format.SEQ_WORD,
    "frame number": 8 * format.FRAME_WORD,
    "time": 8 * format.TIME_WORD,
    "header length": 8 * format.HEADER_WORD,
    "payload length": 8 * format.PAYLOAD_WORD,
    "uuid": 8 * format.UUID_WORD,
    "record": format.RECORD_BYTE,
}
TABLE = {name: 8 * index for index, name in enumerate(format.Table._fields)}


def fields_of(heading: str, size: int) -> dict[str, int]:
    """Return the offset of each field of a table, which has to cover all bytes without a gap."""
    end, fields = 0, {}
    for offset, length, _, field, *_ in rows_of("format.md", heading):
        assert number(offset) == end, f"{heading}: {field}"
        end += 0 if length == "rest" else number(length)  # of a slot: up to its stride
        if field != "reserved":
            fields[field] = number(offset)
    assert end == size, heading
    return fields


def test_the_offsets_of_the_format_are_those_of_the_library() -> None:
    assert fields_of("The control segment", format.CONTROL_SIZE) == CONTROL
    first, second = format.TABLE_WORDS
    assert fields_of("A table", 8 * (second - first)) == TABLE
    assert fields_of("A slot", format.RECORD_BYTE) == SLOT


def test_the_format_says_units() -> None:
    rows = [*rows_of("format.md", "The control segment"), *rows_of("format.md", "A table")]
    rows += rows_of("format.md", "A slot")
    for _, _, _, field, *more in rows:
        if re.search("clock|taken|time", field):
            assert re.search(r"\bns\b", more[-1]), field
        if re.search("length|stride", field):
            assert re.search(r"\bbytes\b", more[-1]), field


def test_the_names_of_the_format_are_those_of_the_library() -> None:
    for root, name, instance, segment, control, frames in rows_of("format.md", "Examples of names"):
        assert base.control_name(root, name) == control
        assert base.frame_name(control, number(instance), number(segment)) == frames


# --- the reference


def test_what_a_console_offers_is_what_is_public() -> None:
    assert dir(ndsharray) == sorted(ndsharray.__all__)
    for name in dir(ndsharray):
        assert getattr(ndsharray, name) is not None


def test_all_that_is_public_is_in_the_reference() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf8")
    for name in ndsharray.__all__:
        assert re.search(rf"\bndsharray\.{name}\b", text), name


@both_transports
def test_the_examples_of_the_docstrings_run(
    transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NDSHARRAY_TRANSPORT", transport)
    found = [test for test in doctest.DocTestFinder().find(ndsharray.NdShArray) if test.examples]
    assert len(found) > 1
    for test in found:
        told: list[str] = []
        doctest.DocTestRunner(verbose=False).run(test, out=told.append)
        assert told == []


# --- the site itself


def test_the_site_builds_strictly(tmp_path: Path) -> None:
    for module in ("sphinx", "myst_parser", "numpydoc", "furo"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module}: the extra 'docs'")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sphinx", "-W", "-n", "--keep-going", "-q", "-b", "html"),
            *("-d", str(tmp_path / "doctrees"), str(DOCS), str(tmp_path / "site")),
        ],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "site" / "index.html").is_file()


# --- the README, which is all that some people read


def test_the_first_two_programs_of_the_readme_work(
    transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NDSHARRAY_TRANSPORT", transport)
    text = (DOCS.parent / "README.md").read_text(encoding="utf8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for file, block in zip(("writer.py", "reader.py"), blocks):
        (tmp_path / file).write_text(block, encoding="utf8")
    command = [sys.executable, "-W", "error"]
    with (
        subprocess.Popen(
            [*command, "reader.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
        ) as reader,
        subprocess.Popen(
            [*command, "writer.py"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        ) as writer,
    ):
        try:
            printed, _ = reader.communicate(timeout=TIMEOUT)
            writer.communicate(b"\n", timeout=TIMEOUT)
        finally:
            reader.kill()
            writer.kill()
    assert re.fullmatch(r"\(720, 1280, 3\) uint8 \[255 128   0\] \d+\.\d ms old\n", printed)
    assert (reader.returncode, writer.returncode) == (0, 0)


def test_links_between_files_lead_somewhere() -> None:
    project = DOCS.parent
    files = [*project.glob("*.md"), *DOCS.rglob("*.md"), *(project / "examples").rglob("*.md")]
    dead = [
        (file.name, link)
        for file in files
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", file.read_text(encoding="utf8"))
        if "://" not in link and not (file.parent / link).exists()
    ]
    assert len(files) > 25
    assert dead == []
