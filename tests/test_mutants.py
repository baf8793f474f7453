"""The list of guards whose removal has to be noticed is one of guards that are there."""

from __future__ import annotations

import pytest
from mutants import MUTANTS, ROOT


@pytest.mark.parametrize("name", MUTANTS)
def test_the_guard_stands_there_once(name: str) -> None:
    file, there, without = MUTANTS[name]
    text = (ROOT / "ndsharray" / file).read_text(encoding="utf8")
    assert text.count(there) == 1
    compile(text.replace(there, without), file, "exec")
