"""`ndsharray hz` beside real writers: the rate is right within 1 %."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
from commands import records_of

from ndsharray.tools import cli

WRITER = """
import json, sys, threading, time
import numpy as np
from ndsharray import NdShArray

name, transport, hz, size = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
frame, times, stop = np.zeros(size, np.uint8), [], threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
with NdShArray(name, frame, "w", transport=transport) as writer:
    print("writing", flush=True)
    due = time.perf_counter()
    while not stop.wait(max(0.0, due - time.perf_counter())):
        times.append(time.perf_counter())  # what a frame carries is when its write began
        writer.write(frame)
        due += 1 / hz
print(json.dumps(times))
"""


@pytest.mark.alternately
@pytest.mark.parametrize(
    ("hz", "size"), [(1, 64), (30, 64), (2000, 64), (1, 50_000_000), (30, 50_000_000)]
)
def test_the_rate_is_right_within_one_percent(
    hz: int, size: int, name: str, transport: str, capsys: Any
) -> None:
    """It is that of the writer's own clock: a busy machine does not reach each rate."""
    command = [sys.executable, "-W", "error", "-c", WRITER, name, transport, str(hz), str(size)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "writing\n"
            assert cli.main(["hz", name, "--window", "4", "--count", "6", "--json"]) == 0
            end = time.perf_counter()
            out, _ = child.communicate(timeout=60)
        finally:
            child.kill()
    told, times = records_of(capsys)[-1]["hz"], json.loads(out)
    # A busy machine ends this process's look some moments before `end`.
    rates = [rate_between(times, end - late - 4, end - late) for late in np.arange(0, 0.5, 0.02)]
    assert min(abs(told / rate - 1) for rate in rates) < 0.01, (told, rates)


def rate_between(times: list[float], begin: float, end: float) -> float:
    """Return the frames a second that were written in a span, a silence at its end included."""
    inside = [moment for moment in times if begin <= moment <= end]
    silent = end - inside[-1] > 2 * statistics.median(np.diff(inside))
    return (len(inside) - 1) / ((end if silent else inside[-1]) - inside[0])
