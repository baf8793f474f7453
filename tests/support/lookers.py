"""A writer that floods, and two readers that look in place meanwhile."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

LOOKER = """
import random, sys, time
import numpy as np
from ndsharray import NdShArray

name, transport, seconds, seed = sys.argv[1:5]
rng = random.Random(int(seed))
reader = NdShArray(name, r_w="r", transport=transport)
held, frames, wrong = [], 0, 0
print("waiting", flush=True)
assert reader.read(timeout=60)[0]  # the flood begins
end = time.monotonic() + float(seconds)
while time.monotonic() < end:
    valid, array = reader.read(timeout=1.0, copy=False)
    if not valid:
        continue
    frames += 1
    value = array[0, 0, 0]
    wrong += not (array == value).all()
    if rng.random() < 0.5:
        array = array[rng.randrange(300):, ::2]
    held.append((frames + rng.randint(1, 50), value, array))
    ended = [entry for entry in held if entry[0] <= frames]
    held = [entry for entry in held if entry[0] > frames]
    wrong += sum(not (array == value).all() for _, value, array in ended)  # every byte
    ended = array = None
for _, value, array in held:
    wrong += not (array == value).all()
print(frames, wrong, flush=True)
"""

FLOODING = """
import sys, time
import numpy as np
from ndsharray import NdShArray

try:
    import resource
except ImportError:  # Windows
    resource = None
name, transport, seconds = sys.argv[1:4]
writer = NdShArray(name, r_w="w", transport=transport, slots=3)
core = writer._writer
frames = [np.full((720, 1280, 3), value, np.uint8) for value in range(16)]
writer.write(frames[0])
print("writing", flush=True)
clock, times, floor, grown, count = time.thread_time_ns, [], [], 0, 0
beside = np.zeros_like(frames[0])

def faults():
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt if resource else 0

end = time.monotonic() + float(seconds)
while time.monotonic() < end:
    segment, mapped, start = core._holding.segment.table.segment, faults(), clock()
    writer.write(frames[count % 16])
    took = clock() - start
    count += 1
    if core._holding.segment.table.segment != segment:
        grown += 1
    elif faults() - mapped < 100:  # else a slot's first use, which may come late: still the grow
        times.append(took)
        start = clock()
        beside[...] = frames[count % 16]
        floor.append(clock() - start)
told = [sorted(each)[int(len(each) * part)] for each in (times, floor) for part in (0.5, 0.999)]
print(count, grown, *told, flush=True)
sys.stdin.readline()
writer.close()
"""


def run_lookers(
    name: str, transport: str, seconds: float, *before: str
) -> tuple[list[int], list[list[int]]]:
    """Let a writer flood and two readers look; return what the writer and what they say.

    The writer says how many frames it wrote, how often it grew, and median and 99.9th percentile of
    the processor time in ns: of a write, then of a bare copy of such a frame, made in between.
    """
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    readers = []
    for seed in "12":
        command = [sys.executable, "-W", "error", "-c", LOOKER, name, transport]
        readers.append(subprocess.Popen([*command, str(seconds - 0.5), seed], **pipes))
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "waiting\n"
    command = [*before, sys.executable, "-W", "error", "-c", FLOODING]
    writer = subprocess.Popen([*command, name, transport, str(seconds)], **pipes)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    said = []
    for reader in readers:
        out, _ = reader.communicate(timeout=60 + 10 * seconds)
        said.append([int(word) for word in out.split()])
    told = [int(word) for word in writer.stdout.readline().split()]
    writer.communicate("\n", timeout=30)
    assert writer.returncode == 0
    return told, said
