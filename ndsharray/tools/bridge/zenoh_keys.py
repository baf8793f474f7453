"""The key expressions of offers: ``ndsharray/1/BRIDGE/LIFE/NAME``, the name percent-encoded."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from .engine import Offer

__all__ = ["PREFIX", "key_of", "offer_of"]

PREFIX = "ndsharray/1"
_KEY = re.compile(rf"{PREFIX}/([0-9a-f]{{16}})/([0-9a-f]{{1,16}})/([^/]{{1,765}})")


def key_of(offer: Offer) -> str:
    """Return the key expression of an offer."""
    return f"{PREFIX}/{offer.bridge}/{offer.life:x}/{quote(offer.name, safe='')}"


def offer_of(key: str) -> Offer | None:
    """Return the offer of a key; None if it is none, which anybody may declare."""
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    try:
        name = unquote(match[3], errors="strict")
    except UnicodeDecodeError:
        return None
    offer = Offer(match[1], int(match[2], 16), name)
    return offer if key_of(offer) == key else None  # one spelling only
