"""Frames over loopback TCP: a plain socket, bare zenoh, and a pair of bridges, alternately.

Latency is from right before the write to the frame in private memory of another process. A frame
carries its time at its begin, at its end, and a number in each page: what differs counts as torn.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import socket
import tempfile
import time
from multiprocessing.connection import Connection
from time import perf_counter_ns
from typing import Any

import numpy as np
from harness.links import WAYS, Array, Route

CASES = {"720p": ((720, 1280, 3), 30.0), "4K": ((2160, 3840, 3), 10.0)}
SECONDS, ROUNDS, WARM = 2.0, 6, 5
_PAGE = 4096
_LAST = np.uint64(2**64 - 1)  # in place of the time: the end of a round


def run(short: bool = False, file: str | None = None) -> int:
    """Measure, and print a table."""
    figures = {case: _measure(shape, rate, short) for case, (shape, rate) in CASES.items()}
    for case, ways in figures.items():
        shape, rate = CASES[case]
        print(f"\n{case}, {np.prod(shape) / 1e6:.1f} MB, {rate:.0f} Hz, over loopback TCP")
        print("way      p50 ms  p99 ms  to zenoh  cores  MB/s at most  frames  torn")
        for way, f in ways.items():
            print(
                f"{way:8} {f['p50']:6.2f} {f['p99']:7.2f} {f['ratio']:9.2f} {f['cores']:6.2f} "
                f"{f['flood']:13.0f} {f['frames']:7} {f['torn']:5}"
            )
    if file:
        with open(file, "w", encoding="utf8") as out:
            json.dump(figures, out, indent=1)
    return 0


def _measure(shape: tuple[int, ...], rate: float, short: bool) -> dict[str, dict[str, Any]]:
    rounds, seconds = (3, 1.0) if short else (ROUNDS, SECONDS)
    pairs = {way: _Pair(way, shape) for way in WAYS}
    try:
        results: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
        floods: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(rounds):
            for way, pair in pairs.items():
                results[way].append(pair.film(rate, seconds))
        for _ in range(rounds):
            for way, pair in pairs.items():
                flood = pair.film(0.0, seconds)
                floods[way].append(flood["frames"] * float(np.prod(shape)) / 1e6 / flood["took"])
    except BaseException:
        for pair in pairs.values():
            pair.kill()
        raise
    for pair in pairs.values():
        pair.close()
    return {way: _summary(results[way], results["zenoh"], floods[way]) for way in WAYS}


def _summary(
    results: list[dict[str, Any]], zenoh: list[dict[str, Any]], floods: list[float]
) -> dict[str, Any]:
    latencies = np.concatenate([result["latencies"] for result in results]) / 1e6
    ratios = [
        float(np.median(one["latencies"]) / np.median(other["latencies"]))
        for one, other in zip(results, zenoh)
    ]
    return {
        "p50": float(np.median(latencies)),
        "p99": float(np.percentile(latencies, 99)),
        "ratio": float(np.median(ratios)),
        "cores": float(np.median([result["cores"] for result in results])),
        "flood": float(np.median(floods)),
        "frames": len(latencies),
        "torn": sum(result["torn"] for result in results),
    }


class _Pair:
    """The two processes of one way."""

    def __init__(self, way: str, shape: tuple[int, ...]) -> None:
        place = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self._roots = tuple(tempfile.mkdtemp(prefix="nd-bench-", dir=place) for _ in range(2))
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        context = multiprocessing.get_context("spawn")
        self._ends, self._processes = [], []
        for target in (_send, _receive):
            ours, theirs = context.Pipe()
            process = context.Process(target=target, args=(way, (port, self._roots, shape), theirs))
            process.start()
            self._ends.append(ours)
            self._processes.append(process)
        for end in self._ends:
            end.recv()

    def film(self, rate: float, seconds: float) -> dict[str, Any]:
        sender, receiver = self._ends
        receiver.send("receive")
        sender.send((rate, seconds))
        cores, took = sender.recv()
        result: dict[str, Any] = receiver.recv()
        return {**result, "cores": cores + result["cpu"] / took, "took": took}

    def kill(self) -> None:
        for process in self._processes:
            process.terminate()

    def close(self) -> None:
        for end in self._ends:
            end.send(None)
        for process in self._processes:
            process.join()
        for root in self._roots:
            shutil.rmtree(root, ignore_errors=True)


def _cpu(end: Any) -> float:
    return time.process_time() + (end.cpu() if hasattr(end, "cpu") else 0.0)


def _send(way: str, route: Any, orders: Connection) -> None:
    end = WAYS[way][0](Route(*route))
    frame = np.random.default_rng(1).integers(0, 255, route[2], np.uint8)
    flat = frame.reshape(-1)
    first, last, pages = flat[:8].view(np.uint64), flat[-8:].view(np.uint64), flat[_PAGE:-8:_PAGE]
    orders.send("ready")
    number = 0
    while (order := orders.recv()) is not None:
        rate, seconds = order
        begin, used = time.perf_counter(), _cpu(end)
        due = begin
        while time.perf_counter() - begin < seconds:
            if rate:
                due += 1 / rate
                time.sleep(max(0.0, due - time.perf_counter()))
            number += 1
            pages[:] = number % 256
            first[0] = last[0] = perf_counter_ns()
            end.send(frame)
        took = time.perf_counter() - begin
        cores = (_cpu(end) - used) / took
        first[0] = _LAST
        end.send(frame)  # the last one always arrives, whatever it replaces
        orders.send((cores, took))
    end.close()


def _receive(way: str, route: Any, orders: Connection) -> None:
    end = WAYS[way][1](Route(*route))
    orders.send("ready")
    while orders.recv() is not None:
        latencies, torn, used = [], 0, _cpu(end)
        while True:
            frame = end.receive(5.0)
            now = perf_counter_ns()
            if frame is None:
                continue
            when, whole = _look(frame)
            if when == _LAST:
                break
            latencies.append(now - int(when))
            torn += not whole
        cpu = _cpu(end) - used
        orders.send(
            {
                "latencies": np.array(latencies[WARM:] or latencies),
                "frames": len(latencies),
                "torn": torn,
                "cpu": cpu,
            }
        )
    end.close()


def _look(frame: Array) -> tuple[Any, bool]:
    """Return the time in a frame, and whether all of the frame is of one time."""
    flat = frame.reshape(-1)
    first, last = flat[:8].view(np.uint64)[0], flat[-8:].view(np.uint64)[0]
    pages = flat[_PAGE:-8:_PAGE]
    return first, bool(first == last and (pages == pages[0]).all())
