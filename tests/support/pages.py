"""The pages of the documentation, and how their blocks are run.

The blocks of a page run in order in one fresh interpreter; one with the caption ``Console 1`` in an
interpreter of that name, so that a page can have two. A caption is a bold line above its block.
What a block prints has to stand on the page, behind its prompts; a block without prompts prints
nothing. A block whose caption is the name of a file is that file, and ``$ python file.py`` in
a ``console`` block runs it.

A comment above a block (and its caption) says what else it wants: ``<!-- needs: torch -->`` (the
page runs once more, with these blocks, where that can be imported), ``<!-- waits -->`` (a block in
another console that follows has to come to its help), ``<!-- figures vary -->`` (the numbers, times
and transport that a transcript prints are those of some run).
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

from console import Console
from processes import define

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))
TIMEOUT = 60
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

# What stands behind a prompt, and the arguments of Python that it is.
PROGRAMS = {"python": [], "ndsharray": ["-m", "ndsharray"]}

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
    figures_vary: bool = False

    @property
    def is_file(self) -> bool:
        return re.fullmatch(r"\w+\.py", self.caption) is not None


_FENCE = re.compile(r"```([a-z]+)")
_COMMENT = re.compile(r"<!-- (.+) -->")
_CAPTION = re.compile(r"\*\*`?([^*`]+)`?\*\*")


def blocks_of(page: str) -> list[Block]:
    """Return the blocks of a page that have a language, in order."""
    lines = (DOCS / page).read_text(encoding="utf8").split("\n")
    found: list[Block] = []
    comments: list[str] = []
    caption = ""
    at = 0
    while at < len(lines):
        line, at = lines[at], at + 1
        if not line:
            continue
        if comment := _COMMENT.fullmatch(line):
            comments.append(comment[1])
            continue
        if bold := _CAPTION.fullmatch(line):
            caption = bold[1]
            continue
        if fence := _FENCE.fullmatch(line):
            end = lines.index("```", at)
            needs = [word for c in comments if c.startswith("needs: ") for word in c[7:].split()]
            code = "\n".join(lines[at:end]) + "\n"
            flags = ("waits" in comments, "figures vary" in comments)
            found.append(Block(at, fence[1], caption, code, frozenset(needs), *flags))
            at = end + 1
        comments.clear()
        caption = ""
    return found


def runs_of(page: str) -> list[frozenset[str]]:
    """Return what a page is to be run with: nothing else, and each set of things it can use."""
    blocks = [block for block in blocks_of(page) if block.language in ("python", "console")]
    return sorted({block.needs for block in blocks}, key=sorted)


@cache
def missing(need: str) -> bool:
    """Tell whether something that a block needs is not here: a system, a program, a module."""
    if need == "Linux":
        return not sys.platform.startswith("linux")
    if need == "POSIX":
        return os.name != "posix"
    if need == "fork":
        return not hasattr(os, "fork")
    if "-" in need:
        return shutil.which(need) is None
    if need == "display":
        return sys.platform.startswith("linux") and "DISPLAY" not in os.environ
    # Not by looking for it: what is installed may lack a library of the system.
    tried = subprocess.run([sys.executable, "-c", f"import {need}"], capture_output=True)
    return tried.returncode != 0


def without_figures(text: str) -> str:
    """Return a text in which numbers, units, transports and roots are the same in each run."""
    text = text.replace(os.environ.get("NDSHARRAY_DIR") or "-", "/dev/shm/ndsharray-1000")
    text = text.replace("posix_shm", "mmap")
    text = re.sub(r"\d[\d,]*(\.\d+)?(e[+-]?\d+)?", "0", text)
    text = re.sub(r"\b0 (us|ms|s|min|h)\b", "0 s", text)
    # What a replay says where the machine holds it up.
    text = text.replace("  slipped 0 s", "")
    text = text.replace("ndsharray: too slow for this rate: all is 0 s later\n", "")
    return re.sub(r"\b0 ([kMG]|[KMG]i)?B\b", "0 B", text)


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
            program, *arguments = shlex.split(line)
            assert program in PROGRAMS, f"{self.page}, line {block.line}: not to be run: {line}"
            done = subprocess.run(
                [sys.executable, "-W", "error", *PROGRAMS[program], *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=TIMEOUT,
            )
            assert done.returncode == 0, f"{self.page}: {line}\n{done.stdout}"
            printed = done.stdout
            if block.figures_vary:
                printed, expected = without_figures(printed), without_figures(expected)
            same = doctest.OutputChecker().check_output(expected, printed, FLAGS)
            assert same, f"{self.page}, line {block.line}: {line}\n{done.stdout}"

    def end(self) -> None:
        for caption in list(self.waiting):
            self.collect(caption)
        for caption, console in self.consoles.items():
            assert console.end() == 0, f"{self.page}, {caption}: {console.errors}"
            assert console.errors == "", f"{self.page}, {caption}"
