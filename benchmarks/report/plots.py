"""Pictures of a run: time over size, latency of the camera, reads under a flood."""

from __future__ import annotations

import os
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from harness.bench import Bench
from harness.stats import median_of
from scenarios.frames import SIZES

BYTES = {"64 B": 64, "64 KiB": 65536, "720p": 2764800, "4K RGB": 24883200, "50 MB": 50_000_000}
OURS = ("mmap", "posix_shm")
LEFT_OUT = {"mmap out", "posix_shm out", "pyshmem out", "posix_shm", "posix_shm in place"}
LIMITS = {"floor", "copyto"}
GOOD, PLAIN, BAD = "#1f77b4", "#b0b0b0", "#d62728"


def draw(bench: Bench, directory: str) -> None:
    """Write a picture of each kind that there are figures for."""
    os.makedirs(directory, exist_ok=True)
    for name, needs, make in (
        ("sizes.png", "frames", sizes),
        ("camera.png", "camera", camera),
        ("flood.png", "flood", flood),
    ):
        if bench.figures.get(needs):
            figure = make(bench.figures)
            figure.savefig(os.path.join(directory, name), dpi=120)
            plt.close(figure)


def sizes(figures: Any) -> Any:
    """Draw write, read and the whole way over the size of the frame, both logarithmic."""
    figure, axes = plt.subplots(1, 3, figsize=(16, 6.5), sharey=True, layout="constrained")
    names = [name for name in _names(figures, "frames") if name not in LEFT_OUT]
    for axis, key in zip(axes, ("write", "read", "delivered")):
        for number, name in enumerate(names):
            points = _points(figures, name, key)
            axis.plot(*zip(*points), **_line(name, number), label=name)
        axis.set(xscale="log", yscale="log", title=_TITLES[key])
        axis.set_xticks([BYTES[size] for size in SIZES], list(SIZES), rotation=45, ha="right")
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("microseconds (median)")
    axes[-1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    figure.suptitle("Frames from process to process: lower is better; black: the limits")
    return figure


_TITLES = {
    "write": "write",
    "read": "read",
    "delivered": "from the write's begin to the read's end",
}


def _points(figures: Any, name: str, key: str) -> list[tuple[int, float]]:
    cases = figures["frames"]
    points = [(BYTES[case], median_of(cases[case].get(name, {}).get(key))) for case in cases]
    return [(size, value) for size, value in points if value] or [(65536, float("nan"))]


def _line(name: str, number: int) -> dict[str, Any]:
    if name in LIMITS:
        return {"color": "black", "linestyle": "--" if name == "copyto" else ":", "linewidth": 1.5}
    marks = "osv^D*Xphd<>"
    bold = _is_ours(name)
    return {
        "color": plt.get_cmap("tab20")(number * 2 % 20 + number // 10),
        "marker": marks[number % len(marks)],
        "markersize": 5,
        "linewidth": 3.0 if bold else 1.3,
        "zorder": 3 if bold else 2,
    }


def camera(figures: Any) -> Any:
    """Draw the latencies of the camera: median and 99th percentile of each."""
    rows = figures["camera"]["720p"]
    names = sorted(rows, key=lambda name: -rows[name]["latency"]["median"])
    figure, axis = plt.subplots(figsize=(10, 0.42 * len(names) + 1.6), layout="constrained")
    axis.set_xscale("log")
    for at, name in enumerate(names):
        middle, worst = rows[name]["latency"]["median"], rows[name]["p99"]
        color = GOOD if _is_ours(name) else "#555555"
        axis.plot([middle, worst], [at, at], color=color, linewidth=2, alpha=0.5)
        axis.plot(middle, at, "o", color=color, markersize=9)
        axis.plot(worst, at, "|", color=color, markersize=14, markeredgewidth=2.5)
        share = f"{rows[name]['reader']:.3f} of a core"
        axis.annotate(share, (worst, at), (10, 0), textcoords="offset points", va="center")
    low, high = axis.get_xlim()
    axis.set_xlim(low, high * 3)  # room for the text
    axis.set_yticks(range(len(names)), names)
    axis.set(xlabel="microseconds from the write's begin to the end of the wait")
    axis.grid(axis="x", which="both", alpha=0.25)
    axis.set_title("Camera, 60 frames/s of 720p: median (dot) to p99 (bar), and the reader's CPU")
    return figure


def flood(figures: Any) -> Any:
    """Draw the reads under a flood: whole frames, and torn ones on top."""
    rows = figures["flood"]["720p"]
    names = sorted(rows, key=lambda name: rows[name]["reads"])
    figure, axis = plt.subplots(figsize=(10, 0.42 * len(names) + 1.6), layout="constrained")
    for at, name in enumerate(names):
        row = rows[name]
        axis.barh(at, row["reads"], color=GOOD if _is_ours(name) else PLAIN)
        text = f" {row['reads']:.0f}/s, longest gap {row['gap']:.1f} ms"
        if row["torn"]:
            text += f", {row['torn']} TORN"
        color = BAD if row["torn"] else "black"
        axis.text(row["reads"], at, text, va="center", color=color)
    axis.set_yticks(range(len(names)), names)
    axis.set(xlabel="whole new frames read per second")
    axis.margins(x=0.45)
    axis.set_title("A writer that floods 720p: what its reader gets")
    return figure


def _is_ours(name: str) -> bool:
    return name.startswith(OURS)


def _names(figures: Any, scenario: str) -> list[str]:
    return list(dict.fromkeys(name for case in figures[scenario].values() for name in case))
