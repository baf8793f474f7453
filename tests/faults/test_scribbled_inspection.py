"""Looking at memory that another process scribbles on at full speed: no error, and an end in time.

What is told may be wrong, as the memory is; the other array is told right all the same.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import hostile
import numpy as np
import pytest

import ndsharray
from ndsharray import NdShArray, NoArrayError
from ndsharray._protocol.memory import Memory
from ndsharray._registry.names import address_of
from ndsharray._registry.probe import Probe
from ndsharray.backends import resolve

LONGEST = 3.0  # seconds: no look takes longer, on a slow and busy machine

LOOKS: dict[str, Callable[[Probe], object]] = {
    "newest": Probe.newest,
    "heads": Probe.heads,
    "state": Probe.state,
    "info": Probe.info,
    "arrays": lambda _: [each.as_dict() for each in ndsharray.arrays()],
}


@pytest.mark.alternately
@pytest.mark.times(2_000, 200_000)
@pytest.mark.parametrize("how", sorted(hostile.SCRIBBLES))
def test_a_look_at_a_page_that_changes_all_the_time(
    name: str, transport: str, how: str, times: int, account: Callable[[str, int], None]
) -> None:
    writer = NdShArray(name, np.arange(3), "w", transport=transport)
    other = NdShArray("another", np.arange(3), "w", transport=transport)
    address = address_of(resolve(transport), name)
    page = Memory(address.transport.open(address.control_name, writable=True).buf)
    whole = page.bytes.tobytes()
    chance = random.Random(int(os.environ.get("HOSTILE_SEED") or 1))
    command = [sys.executable, "-W", "error", hostile.__file__, "scribbler", f"name={name}"]
    command += [f"transport={transport}", "seed=1", f"how={how}"]
    library = str(Path(ndsharray.__file__).parents[1])
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": library},
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "begin\n"
        probe, longest = Probe(name, address.transport), 0.0
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for count in range(times):
                if count % 50 == 0:
                    probe = Probe(name, address.transport)
                if count % 7 == 0:
                    page.bytes[:] = whole  # so that there is something to be found
                began = time.perf_counter()
                try:
                    LOOKS[chance.choice([*LOOKS])](probe)
                except NoArrayError:
                    pass
                longest = max(longest, time.perf_counter() - began)
        assert longest < LONGEST
        assert ndsharray.info("another").state == "live"
    finally:
        child.communicate("stop\n", timeout=30)
        page.bytes[:] = whole
        writer.close()
        other.close()
    account("looks at a control page that another process scribbled on", times)
