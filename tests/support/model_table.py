"""The table of the models of the protocol: the program ``tests/model/run.py``, as a module."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

MODEL = Path(__file__).resolve().parents[1] / "model"


def _load_run() -> ModuleType:
    spec = importlib.util.spec_from_file_location("model_run", MODEL / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["model_run"] = module  # typing looks classes up by it
    spec.loader.exec_module(module)
    return module


run = _load_run()
