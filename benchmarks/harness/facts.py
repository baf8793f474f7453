"""What was measured on what: versions and the machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

from harness.child import Child


def import_rival(child: Child) -> None:
    """Import it, so that one that is not installed is told at once."""
    assert child.module.Writer


def imported(child: Child) -> tuple[str, str]:
    """Return where this library was imported from, and its version."""
    import ndsharray

    return ndsharray.__file__, ndsharray.__version__


def rival_version(child: Child) -> str:
    package = child.rival.package
    if package is None:
        return "Python " + platform.python_version()
    import numpy as np

    text = importlib.metadata.version(package)
    return f"{text} (numpy {np.__version__})" if child.rival.original else text


def machine() -> dict[str, Any]:
    import numpy as np

    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "numpy": np.__version__,
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "platform": sys.platform,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
