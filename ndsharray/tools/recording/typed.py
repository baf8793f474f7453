"""Sizes and times as people type them, for ``argparse``."""

from __future__ import annotations

import argparse
import re

__all__ = ["seconds", "size"]

_SIZE = re.compile(r"([0-9]+\.?[0-9]*)\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_TIME = re.compile(r"([0-9]+\.?[0-9]*|[0-9]*\.[0-9]+)\s*(ms|s|m|min|h|d|)")
_SECONDS = {"ms": 1e-3, "s": 1.0, "": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def size(text: str) -> int:
    """Return bytes: ``500M``, ``2G``, ``1.5 GiB``, ``4096``."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size, as 500M, 2G or 1GiB are")
    number, prefix, binary = match.groups()
    base = 1024 if binary else 1000
    return int(float(number) * base ** " kmgt".index(prefix.lower() or " "))


def seconds(text: str) -> float:
    """Return seconds: ``90``, ``1.5s``, ``10min``, ``2h``."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time, as 90, 1.5s, 10min or 2h are")
    return float(match.group(1)) * _SECONDS[match.group(2)]
