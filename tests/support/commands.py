"""What the tests of the command line have in common."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy.typing as npt
import pytest

from ndsharray import NdShArray


def lines_of(capsys: Any) -> list[str]:
    """Return the lines that were printed; there must be none about errors."""
    out, err = capsys.readouterr()
    assert err == ""
    return list(out.splitlines())


def records_of(capsys: Any) -> list[dict[str, Any]]:
    """Return the lines of JSON that were printed."""
    return [json.loads(line) for line in lines_of(capsys)]


def kill_writer(writer: NdShArray) -> None:
    """Leave everything of a writer as if its process had been killed."""
    assert writer._writer is not None
    writer._writer._holding.lock_file.abandon()  # type: ignore[union-attr]
    writer._finalizer.detach()


def leave_killed(name: str, array: npt.NDArray[Any], transport: str) -> None:
    """Leave an array whose writer has been killed, and which no process has mapped."""
    if os.name == "nt" and transport == "posix_shm":
        pytest.skip("Windows frees memory with the last handle")
    kill_writer(NdShArray(name, array, "w", transport=transport))
