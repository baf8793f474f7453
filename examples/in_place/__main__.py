"""Both sides of reading in place in one command: `python examples/in_place`."""

import runpy
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent

if __name__ == "__main__":
    pair = runpy.run_path(str(FOLDER.parent / "pair.py"))
    sys.exit(pair["run"](FOLDER, consumer=["--wait", "--patience"]))
