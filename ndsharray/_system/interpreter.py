"""Refusing subinterpreters: numpy works in the main one only, and says so in its own ways, or not.

Knows nothing of arrays. Imported before numpy is.
"""

from __future__ import annotations

import importlib


def refuse_subinterpreters() -> None:
    """Raise ImportError in a subinterpreter."""
    for name in ("_interpreters", "_xxsubinterpreters"):  # from Python 3.13 on, and before
        try:
            interpreters = importlib.import_module(name)
        except ImportError:
            continue
        if interpreters.get_current() != interpreters.get_main():
            raise ImportError(
                "ndsharray works in the main interpreter only: numpy does not support "
                "subinterpreters (use threads or processes)"
            )
        return


refuse_subinterpreters()
