"""The table of the models fits the code: each fence of the code is missed by a model."""

from __future__ import annotations

import re

import pytest
from model_table import MODEL, run


def _said(errors: int, *more: str) -> str:
    return "\n".join([f"State-vector 40 byte, depth reached 9, errors: {errors}", *more])


def test_every_fence_of_the_code_is_missed_somewhere_when_it_is_taken_out():
    protocol = MODEL.parents[1] / "ndsharray" / "_protocol"
    code = "".join(path.read_text(encoding="utf8") for path in protocol.glob("*.py"))
    fences = set(re.findall(r'\("([WR]\d+)"\)', code))
    assert {"W1", "W3", "R3", "R4"} <= fences
    missed = {
        flag[len("NO_") :]
        for row in run.rows()
        if row.expected == run.FAILS
        for flag in row.flags.split()
    }
    assert fences <= missed


def test_a_fence_that_is_an_instruction_on_x86_is_missed_with_store_buffers():
    rows = [set(row.flags.split()) for row in run.rows() if row.expected == run.FAILS]
    for fence in ("W1", "W3", "R3", "R4", "R10"):
        assert {"TSO", f"NO_{fence}"} in rows, fence


def test_no_row_stands_twice_and_every_model_holds_as_it_is():
    names = [row.name for row in run.rows()]
    assert len(names) == len(set(names))
    models = {path.stem for path in MODEL.glob("*.pml")}
    assert models == {row.model for row in run.rows()}
    assert models == {row.model for row in run.rows() if row.expected == run.HOLDS}


def test_each_model_knows_the_flags_that_its_rows_give_it():
    for row in run.rows():
        files = (f"{row.model}.pml", "memory.inc", "weak.inc")
        text = "".join((MODEL / name).read_text(encoding="utf8") for name in files)
        for flag in row.flags.split():
            name = flag.partition("=")[0]
            asked = rf"#(if|ifdef|ifndef|elif) .*\b{name}\b|defined\({name}\)"
            assert re.search(asked, text), f"{row.name}: {name}"


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        (_said(0), "holds"),
        (_said(1, "Warning: Search not completed"), "fails"),
        (_said(0, "Warning: Search not completed"), "cut off: search not completed"),
        (_said(0, "error: max search depth too small"), "cut off: max search depth too small"),
        (_said(0, "pan: reached -DMEMLIM bound", "pan: out of memory"), "cut off: out of memory"),
        ("Segmentation fault", "no verdict: Segmentation fault"),
    ],
)
def test_a_search_that_was_cut_off_is_no_verdict(said, verdict):
    assert run.judge(said) == verdict


def test_every_litmus_test_has_a_verdict_and_stands_in_the_table():
    readme = (MODEL / "litmus" / "README.md").read_text(encoding="utf8")
    files = sorted((MODEL / "litmus").glob("*.litmus"))
    assert files
    for file in files:
        assert re.search(r"Verdict: (Never|Sometimes)\"", file.read_text(encoding="utf8")), file
        assert file.stem in readme or file.stem.startswith("seqlock_no_"), file
