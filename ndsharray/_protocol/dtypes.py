"""Which arrays can be shared: the element types, and the check of an array against them.

Not here: how a dtype is written down (``npy``).
"""

from __future__ import annotations

import copy
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "check_array",
    "check_dtype",
    "is_masked",
    "is_supported",
    "own_dtype",
    "supported_types",
]

_NUMPY_TYPES = (
    "int8 int16 int32 int64 uint8 uint16 uint32 uint64 "
    "float16 float32 float64 float128 complex64 complex128 complex256"
)

supported_types: list[type[Any]] = [
    *(getattr(np, name) for name in _NUMPY_TYPES.split() if hasattr(np, name)),
    bool,
]
"""The element types that can be shared, as far as this platform has them.

Any byte order of them, datetime64, timedelta64, raw void, and structured dtypes without objects
can be shared too.
"""


def check_array(array: npt.NDArray[Any]) -> None:
    """Check that `array` can be shared.

    Raises
    ------
    TypeError
        If it is not an ``ndarray``, or a masked one.
    NotImplementedError
        For objects, text and user-defined dtypes.
    """
    if not isinstance(array, np.ndarray):
        hint = " (a scalar: use np.asarray(value), or array[i : i + 1] of an array)"
        raise TypeError(
            f"array must be a numpy.ndarray, not {type(array).__name__}"
            + (hint if isinstance(array, np.generic) else "")
        )
    if is_masked(array):
        raise TypeError("a masked array would lose its mask: share .filled(), or .data and .mask")
    check_dtype(array.dtype)


def is_masked(array: npt.NDArray[Any]) -> bool:
    """Tell whether it is a masked array, without importing what only those need (20 ms)."""
    masked = sys.modules.get("numpy.ma")  # there, if one is
    return isinstance(array, getattr(masked, "MaskedArray", ()))


def check_dtype(dtype: np.dtype[Any]) -> None:
    """Check that arrays of `dtype` can be shared.

    Raises
    ------
    NotImplementedError
        For objects, text and user-defined dtypes.
    """
    if not is_supported(dtype):
        names = ", ".join(name for name in _NUMPY_TYPES.split() if hasattr(np, name))
        raise NotImplementedError(
            f"arrays of dtype {dtype} cannot be shared; supported are {names}, bool, "
            f"datetime64, timedelta64, and structured dtypes without objects{_cure(dtype)}"
        )


def _cure(dtype: np.dtype[Any]) -> str:
    """Return what to do instead, to be said at the end of the error; "" if there is nothing."""
    if dtype.kind in "SU" and dtype.itemsize:
        number, size = ("uint8", 1) if dtype.kind == "S" else ("uint32", 4)
        return (
            f"; share text as its characters' numbers, text = array.view(np.{number})"
            f".reshape(array.shape + ({dtype.itemsize // size},)), which a reader turns back by "
            f"text.view({dtype.str!r})[..., 0]; or as a field of a structured dtype"
        )
    names = [name for name in dtype.names or () if dtype[name].hasobject]
    if names:
        types = ", ".join(f"{name!r}: 'U20'" for name in names[:3])
        return (
            "; give the fields of objects types of fixed size, array.astype(...) (pandas: "
            f"DataFrame.to_records(column_dtypes={{{types}}}), and index_dtypes= for its index)"
        )
    return ""


def own_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a structured dtype that shares nothing: fields can be renamed in place, nested too."""
    names = dtype.names or ()
    nested = any(dtype[name].base.names is not None for name in names)
    return copy.deepcopy(dtype) if nested else copy.copy(dtype)  # the first costs fifty times more


def is_supported(dtype: np.dtype[Any]) -> bool:
    """Tell whether arrays of `dtype` can be shared."""
    return dtype.itemsize > 0 and dtype.subdtype is None and _is_plain(dtype, "biufcmMV")


def _is_plain(dtype: np.dtype[Any], kinds: str) -> bool:
    if dtype.subdtype is not None:
        return _is_plain(dtype.subdtype[0], kinds)
    if dtype.names == ():  # of any size, with nothing in it that numpy would copy
        return False
    if dtype.names is not None:  # fixed-width text is plain bytes there
        return all(_is_plain(dtype[name], kinds + "SU") for name in dtype.names)
    return dtype.kind in kinds and dtype.isbuiltin != 2 and not dtype.hasobject
