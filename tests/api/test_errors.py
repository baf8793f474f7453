"""Each error is the library's and the builtin's, and survives pickling with its attributes."""

from __future__ import annotations

import copy
import errno
import io
import pickle

import pytest

import ndsharray
from ndsharray import errors

ERRORS = [
    (errors.AccessError("read() on a writer"), io.UnsupportedOperation, {}),
    (errors.ClosedError("closed"), ValueError, {}),
    (errors.FormatError("magic", "0 is not 1"), ValueError, {"field": "magic"}),
    (errors.UnknownTransportError("x", "unknown"), ValueError, {"transport": "x"}),
    (
        errors.WriterExistsError("cam", 12),
        FileExistsError,
        {"name": "cam", "pid": 12, "errno": errno.EEXIST},
    ),
]


@pytest.mark.parametrize(("error", "builtin", "attributes"), ERRORS, ids=lambda e: type(e).__name__)
def test_an_error_is_ours_and_the_builtin(
    error: Exception, builtin: type[Exception], attributes: dict[str, object]
) -> None:
    assert isinstance(error, errors.NdShArrayError)
    assert isinstance(error, builtin)
    assert getattr(ndsharray, type(error).__name__) is type(error)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), error):
        assert type(again) is type(error)
        assert str(again) == str(error) != ""
        for name, value in attributes.items():
            assert getattr(again, name) == value


def test_a_writer_without_a_recorded_pid_is_not_named() -> None:
    assert "process" not in str(errors.WriterExistsError("cam", 0))
    assert "process 12" in str(errors.WriterExistsError("cam", 12))


def test_all_errors_are_in_the_tree() -> None:
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), errors.NdShArrayError)
        assert name in str(errors.__doc__)
