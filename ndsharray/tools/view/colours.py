"""Colour maps, as tables of 256 colours."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

__all__ = ["MAPS", "NOT_A_NUMBER", "stops", "table"]

# Nine colours each, equally far apart; between them the colours change linearly. viridis and
# inferno are samples of matplotlib's tables by S. van der Walt and N. Smith, which are in the
# public domain (CC0: https://github.com/BIDS/colormap); coolwarm has the end points and the middle
# of K. Moreland's "Diverging Color Maps for Scientific Visualization" (2009).
MAPS = {
    "grey": "000000 ffffff",
    "viridis": "440154 472d7b 3b528b 2c728e 21918c 28ae80 5ec962 addc30 fde725",
    "inferno": "000004 210c4a 57106e 8a226a bc3754 e45a31 f98e09 f9cb35 fcffa4",
    "coolwarm": "3b4cc0 dddddd b40426",
}
NOT_A_NUMBER = (255, 0, 200)  # a colour that no map has


def stops(name: str) -> list[str]:
    """Return the colours of a map, as a style sheet wants them."""
    return [f"#{colour}" for colour in MAPS[name].split()]


@lru_cache
def table(name: str) -> npt.NDArray[np.uint8]:
    """Return the 256 colours of a map, of shape (256, 3)."""
    given = np.array([list(bytes.fromhex(colour)) for colour in MAPS[name].split()], np.float64)
    at = np.linspace(0, len(given) - 1, 256)
    channels = [np.interp(at, np.arange(len(given)), channel) for channel in given.T]
    made: npt.NDArray[np.uint8] = np.stack(channels, axis=-1).round().astype(np.uint8)
    return made
