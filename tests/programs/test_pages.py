"""Runs the documentation: every Python block and every transcript of every page."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import PAGES, Block, Page, blocks_of, missing, runs_of

both_transports = pytest.mark.parametrize("transport", ["mmap", "posix_shm"])


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
