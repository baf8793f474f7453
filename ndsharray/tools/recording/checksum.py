"""The CRC-32 of bytes one after the other, from those of the parts.

So the threads that read frames compute most of a chunk's checksum, each for its own frames, and the
one thread that writes does not have to. zlib's ``crc32_combine`` does the same; Python has no name
for it.
"""

from __future__ import annotations

from functools import cache

__all__ = ["combine"]

_POLYNOMIAL = 0xEDB88320  # of CRC-32, its bits reversed
_BITS = 48  # of a length


def combine(first: int, second: int, length: int) -> int:
    """Return the checksum of two parts.

    Parameters
    ----------
    first, second : int
        The checksums of the parts.
    length : int
        Bytes of the second part.
    """
    # A checksum is linear: the first part's, moved past `length` zeros, and the second's.
    for zeros in _powers():
        if length & 1:
            first = _times(zeros, first)
        length >>= 1
        if not length:
            break
    return first ^ second


@cache
def _powers() -> list[list[int]]:
    """Return what 1, 2, 4, 8 ... zero bytes make of a checksum, each as a matrix of bits."""
    matrix = [_POLYNOMIAL, *(1 << bit for bit in range(31))]  # of one zero bit
    for _ in range(3):
        matrix = _squared(matrix)
    powers = [matrix]
    while len(powers) < _BITS:
        powers.append(_squared(powers[-1]))
    return powers


def _squared(matrix: list[int]) -> list[int]:
    return [_times(matrix, column) for column in matrix]


def _times(matrix: list[int], vector: int) -> int:
    result = 0
    for column in matrix:
        if vector & 1:
            result ^= column
        vector >>= 1
        if not vector:
            break
    return result
