"""The ``.npy`` header: writing a dtype and a shape as text, and reading that text safely.

What may live here: the text, and which text may reach Python's parser and numpy. Not here: where
in shared memory it stands (``format``).

numpy's own functions write headers that its readers then refuse (over 10,000 bytes), keep version
3.0 private, and read more than is safe in memory that others can write to.
"""

from __future__ import annotations

import ast
import re
import struct
from typing import Any

import numpy as np

from .dtypes import is_supported

__all__ = ["HOSTILE", "MAX_HEADER", "decode_header", "encode_header"]

MAX_HEADER = 1 << 17  # bytes; Python's parser spends seconds and 350 MB on a hostile 1 MiB
_MAX_DIMENSIONS = 64  # numpy 2's

# What `repr` makes of a dtype's description and a shape, token by token; nothing else reaches the
# parser. Names, prefixes, operators, calls and subscripts are refused: Python before 3.11 overflows
# its C stack on a long enough chain of them, also inside an f-string; and odd escapes make it warn.
_ESCAPE = r"""\\(?:[\\'"nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})"""
_TOKEN = re.compile(
    rf""" +|[][(){{}},:]|False|[0-9]{{1,20}}"""
    rf"""|'[^'\\]*(?:{_ESCAPE}[^'\\]*)*'|"[^"\\]*(?:{_ESCAPE}[^"\\]*)*\""""
)
# What `dtype.str` looks like: numpy takes much more, and warns about some of it.
_TYPE = re.compile(r"[<>|=][biufcmMVSU][0-9]{1,10}(?:\[[0-9]{0,10}[a-zA-Z]{1,2}\])?", re.ASCII)


def encode_header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Return a ``.npy`` header, padded so that the payload after it is 64-byte aligned.

    Raises
    ------
    NotImplementedError
        For a dtype that would not come back as itself: overlapping fields, user-defined types.
    """
    try:
        descr: Any = _without_metadata(dtype.descr) if dtype.names is not None else dtype.str
        if np.lib.format.descr_to_dtype(descr) != dtype:
            raise ValueError("a .npy header cannot name it")
    except ValueError as error:
        raise NotImplementedError(f"dtype {dtype} cannot be shared: {error}") from None
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    try:
        encoded, major = text.encode("latin1"), 1
    except UnicodeEncodeError:
        encoded, major = text.encode("utf8"), 3
    if len(encoded) > 65000 and major == 1:
        major = 2
    prefix = 10 if major == 1 else 12
    padded = -(-(prefix + len(encoded) + 1) // 64) * 64
    length = struct.pack("<H" if major == 1 else "<I", padded - prefix)
    if padded > MAX_HEADER:
        raise NotImplementedError(f"a dtype described by {padded} bytes cannot be shared")
    body = encoded.ljust(padded - prefix - 1) + b"\n"
    return np.lib.format.magic(major, 0) + length + body


def _without_metadata(descr: Any) -> Any:
    """Return a dtype's description, or one in it, as types alone.

    Where a type has metadata (h5py notes there what is text, an enumeration, a bool), numpy writes
    ``(type, metadata)``, which it cannot read itself.
    """
    if isinstance(descr, list):
        return [(field[0], _without_metadata(field[1]), *field[2:]) for field in descr]
    if isinstance(descr, tuple):
        inner = _without_metadata(descr[0])
        return (inner, descr[1]) if isinstance(descr[1], tuple) else inner
    return descr


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except SystemError:
        # cpython gh-106905 (3.11): a signal handler that raises inside ast breaks its depth
        # counter once; the text is not to blame
        return ast.literal_eval(text)


def _is_plain_literal(text: str) -> bool:
    """Tell whether all of it are tokens, and no value follows a value. One pass, no going back."""
    at, last = 0, ","
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            return False
        first = text[at]
        if first != " ":
            if first not in ",:)]}" and last not in ",:([{":
                return False
            last = text[token.end() - 1]
        at = token.end()
    return True


def _check_types(descr: Any) -> None:
    """Raise ValueError (or what hostile values raise) unless types are as `dtype.str` has them."""
    if isinstance(descr, str):
        if not _TYPE.fullmatch(descr):
            raise ValueError(f"type {descr!r}")
    elif isinstance(descr, list):
        for field in descr:
            _check_types(field[1] if len(field) == 2 else field[1:])
    elif isinstance(descr, tuple) and len(descr) == 2 and all(type(n) is int for n in descr[1]):
        _check_types(descr[0])
    else:
        raise ValueError(f"type {descr!r}")


# What ast and numpy make of hostile text; not simply Exception, as a signal handler may raise one.
HOSTILE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
    Warning,
)


def decode_header(header: bytes) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Return the dtype and the shape that a ``.npy`` header describes.

    Raises
    ------
    Exception
        One of `HOSTILE`, if it is not a well-formed one that can be shared.
    """
    if header[:6] != b"\x93NUMPY" or header[6:8] not in (b"\1\0", b"\2\0", b"\3\0"):
        raise ValueError(f"begins with {header[:8]!r}")
    prefix, encoding = (10 if header[6] == 1 else 12), ("utf8" if header[6] == 3 else "latin1")
    if int.from_bytes(header[8:prefix], "little") != len(header) - prefix:
        raise ValueError("its length differs from the slot's")
    text = header[prefix:].decode(encoding).strip(" \n")
    if not _is_plain_literal(text):
        raise ValueError("not a plain literal")
    record = _literal(text)
    if not isinstance(record, dict) or set(record) != {"descr", "fortran_order", "shape"}:
        raise ValueError("not a dict of descr, fortran_order, shape")
    _check_types(record["descr"])
    shape, dtype = record["shape"], np.lib.format.descr_to_dtype(record["descr"])
    if record["fortran_order"] is not False or not isinstance(shape, tuple):
        raise ValueError("not C order, or no shape")
    if len(shape) > _MAX_DIMENSIONS:
        raise ValueError(f"{len(shape)} dimensions")
    if not all(type(length) is int and 0 <= length < 2**63 for length in shape):
        raise ValueError(f"shape {shape!r}")
    if not is_supported(dtype):
        raise ValueError(f"dtype {dtype}")
    return dtype, shape
