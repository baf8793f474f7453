"""The models of the protocol say what the table says."""

from __future__ import annotations

import pytest
from model_table import run


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("row", run.rows(), ids=lambda row: row.name)
def test_a_model_says_what_the_table_says(row, request):
    if run.missing_tools():
        pytest.skip(f"not found: {', '.join(run.missing_tools())} (Debian packages spin, gcc)")
    if row.slow and not request.config.getoption("--long"):
        pytest.skip("larger bounds: with --long only")
    result = run.check(row)
    assert result.verdict == row.expected, f"{row.why}\n{result.trace}"
