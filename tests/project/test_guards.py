"""Each guard whose removal has to be noticed is marked in the package, once, and can be removed."""

from __future__ import annotations

import pytest
from mutants import FENCES, GUARDS, ROOT, marked, mutant


@pytest.mark.parametrize("name", [*GUARDS, *FENCES])
def test_a_guard_stands_there_once_and_can_be_left_out(name: str) -> None:
    path, text = mutant(ROOT / "ndsharray", name)
    compile(text, str(path), "exec")
    assert text != path.read_text(encoding="utf8")


def test_every_mark_is_of_a_guard_that_is_left_out() -> None:
    texts = [path.read_text(encoding="utf8") for path in (ROOT / "ndsharray").rglob("*.py")]
    assert {name for text in texts for name in marked(text)} == set(GUARDS)
