"""The errors of this library; each is also the builtin that a caller would expect.

::

    Exception
     +-- NdShArrayError
          +-- AccessError            (io.UnsupportedOperation) read() on a writer, or the reverse
          +-- ClosedError            (ValueError) used after it was closed or replaced
          +-- FormatError            (ValueError) .field: shared memory is not what it says
          +-- NoArrayError           (LookupError) .name .alike: there is no array of that name
          +-- UnknownTransportError  (ValueError) .transport: no transport of that name
          +-- WriterExistsError      (FileExistsError) .name .pid: it has a living writer

All of them can be pickled, with their attributes. Only the classes live here; the
raising module decides when.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Sequence
from typing import Any

__all__ = [
    "AccessError",
    "ClosedError",
    "FormatError",
    "NdShArrayError",
    "NoArrayError",
    "UnknownTransportError",
    "WriterExistsError",
]


def _rebuild(cls: type[NdShArrayError], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class NdShArrayError(Exception):
    """Base of every error that is this library's own."""

    # Exceptions are rebuilt as cls(*args) by default, which loses attributes and misreads
    # signatures that take more than the message.
    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__.copy())


class AccessError(NdShArrayError, io.UnsupportedOperation):
    """The object's role does not allow this call (``read`` on a writer, ``write`` on a reader)."""


class ClosedError(NdShArrayError, ValueError):
    """The object was closed, was replaced by a newer writer, or is a writer's copy after a fork."""


class FormatError(NdShArrayError, ValueError):
    """Shared memory does not hold what the format says.

    Attributes
    ----------
    field : str
        The field of the format (docs/format.md) that does not fit.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field


class NoArrayError(NdShArrayError, LookupError):
    """There is no array of that name.

    Attributes
    ----------
    name : str
        What was asked for.
    alike : tuple of str
        Arrays that are there and have similar names.
    """

    def __init__(self, name: str, alike: Sequence[str] = ()) -> None:
        hint = f"; did you mean {' or '.join(map(repr, alike))}?" if alike else ""
        super().__init__(f"no array {name!r}{hint} (`ndsharray list` shows what is there)")
        self.name = name
        self.alike = tuple(alike)


class UnknownTransportError(NdShArrayError, ValueError):
    """No transport has that name, or this Python lacks what it needs.

    Attributes
    ----------
    transport : str
        What was asked for.
    """

    def __init__(self, transport: str, problem: str) -> None:
        super().__init__(problem)
        self.transport = transport


class WriterExistsError(NdShArrayError, FileExistsError):
    """The array has a living writer already.

    Attributes
    ----------
    name : str
        The array's name.
    pid : int
        The process id that the array's last writer recorded itself (0: not known). For people.
    """

    errno: int | None = errno.EEXIST

    def __init__(self, name: str, pid: int, ended: bool = False) -> None:
        by = f" (process {pid})" if pid else ""
        rule = "one array has one writer at a time (`ndsharray list` shows it)"
        problem = f"has a living writer{by}; {rule}"
        if ended:
            problem = (
                f"is held by another process; its last writer{by} has ended, or runs in another "
                "container; try again"
            )
        super().__init__(f"{name!r} {problem}")
        self.name = name
        self.pid = pid
