"""Pipes whose reader has gone."""

from __future__ import annotations

import errno
import sys

__all__ = ["has_no_reader"]


def has_no_reader(error: BaseException) -> bool:
    """Tell whether a write has failed because the program behind the pipe has ended."""
    if isinstance(error, BrokenPipeError):
        return True
    # What Windows says instead; also of a wrong file name, which the error has then.
    return (
        sys.platform == "win32"
        and isinstance(error, OSError)
        and error.errno == errno.EINVAL
        and error.filename is None
    )
