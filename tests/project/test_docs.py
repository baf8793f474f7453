"""The documentation as text: the numbers of the format page, the reference, links, the site."""

from __future__ import annotations

import doctest
import importlib.util
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pages import DOCS, PAGES, TIMEOUT, blocks_of

import ndsharray
from ndsharray._protocol import format
from ndsharray.backends import base

FENCED = re.compile(r"^```[a-z]+\n.*?^```$", re.MULTILINE | re.DOTALL)
both_transports = pytest.mark.parametrize("transport", ["mmap", "posix_shm"])


@pytest.mark.parametrize("page", PAGES)
def test_no_block_escapes(page: str) -> None:
    """A fence that is indented, longer, or of an unknown language would not be run."""
    text = (DOCS / page).read_text(encoding="utf8")
    fences = re.findall(r"^[ >\t]*`{3,}.*$", text, re.MULTILINE)
    ours = len(blocks_of(page))
    assert len(fences) == 2 * ours, fences
    # What only the site would show right: a directive, a role, a MyST comment.
    assert not re.search(r"^(:{3,}|`{3,}|% )|\{[a-z:]+\}`", re.sub(FENCED, "", text), re.MULTILINE)
    known = {"python", "console", "text", "sh", "c", "ini", "toml", "yaml", "dockerfile"}
    assert {block.language for block in blocks_of(page)} <= known


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
    "stamp": 8 * format.STAMP_WORD,
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
        if re.search("clock|taken|time|stamp", field):
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
    for page in ("api.md", "reference.rst"):
        text = (DOCS / page).read_text(encoding="utf8")
        for name in ndsharray.__all__:
            assert re.search(rf"\bndsharray\.{name}\b|\b{name}\(name,", text), (page, name)


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
            [*command, "writer.py"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
        ) as writer,
    ):
        try:
            printed, _ = reader.communicate(timeout=TIMEOUT)
            writer.send_signal(signal.SIGINT if os.name == "posix" else signal.SIGTERM)
            _, told = writer.communicate(timeout=TIMEOUT)
        finally:
            reader.kill()
            writer.kill()
    assert (reader.returncode, printed) == (0, "(720, 1280, 3) live\n")
    assert told.count("Traceback") == told.count("KeyboardInterrupt") == (os.name == "posix")


def anchors_of(file: Path) -> set[str]:
    """Return what `#...` may name in a page: its headings, as code hosts spell them."""
    text = re.sub(FENCED, "", file.read_text(encoding="utf8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_files_lead_somewhere() -> None:
    project = DOCS.parent
    files = [*project.glob("*.md"), *DOCS.rglob("*.md"), *(project / "examples").rglob("*.md")]
    dead = []
    for file in files:
        links = re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", file.read_text(encoding="utf8"))
        for link, anchor in links:
            target = file.parent / link if link else file
            if "://" in link or (target.exists() and (not anchor or anchor in anchors_of(target))):
                continue
            dead.append((file.name, link, anchor))
    assert len(files) > 25
    assert dead == []


# --- the architecture names every module, by its present name


def test_the_architecture_names_every_module_of_the_rooms() -> None:
    package = Path(ndsharray.__file__).parent
    text = (DOCS / "architecture.md").read_text(encoding="utf8")
    told = set(re.findall(r"`((?:_[a-z]+|backends)/[a-z_]+)`", text))
    there = {
        path.relative_to(package).with_suffix("").as_posix()
        for room in [*package.glob("_*"), package / "backends"]
        for path in room.glob("*.py")
        if path.stem != "__init__"
    }
    assert told == there
