"""Make the pictures of `ndsharray view` in the documentation: `python docs/pictures/view.py`.

It needs the extras view and examples, playwright (the Python package alone) and a Chromium. Eight
arrays are written as in real life: the clip of `examples/video`, and what is computed here.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, sync_playwright

from ndsharray import NdShArray

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parents[1] / "examples" / "video" / "sources.py"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LAPTOP, SCREEN = (1366, 768), (2560, 1440)
TRACK = np.dtype([("t", "f8"), ("position", "f4", 3), ("quality", "u1"), ("mode", "U8")])
KILLED = "thermal"  # by a process of its own
Make = Callable[[int], np.ndarray[Any, Any]]


def camera() -> Make:
    frames, _ = runpy.run_path(str(SOURCES))["open_source"](None)
    clip = [frame for frame, _ in zip(frames, range(60))]
    return lambda i: clip[i % len(clip)]


def depth(i: int) -> np.ndarray[Any, Any]:
    y, x = np.mgrid[:480, :640].astype(np.float32)
    metres = 3.2 - y / 240
    ball = 90**2 - (x - 320 - 120 * np.sin(i / 25)) ** 2 - (y - 260) ** 2
    metres = np.where(ball > 0, 1.0 - np.sqrt(np.maximum(ball, 0)) / 300, metres)
    metres[:60, 540:] = np.nan
    return metres.astype(np.float32)


def thermal(i: int) -> np.ndarray[Any, Any]:
    y, x = np.mgrid[:240, :320]
    spot = np.exp(
        -((x - 160 - 60 * np.cos(i / 20)) ** 2 + (y - 120 - 40 * np.sin(i / 20)) ** 2) / 900
    )
    noise = np.random.default_rng(i).normal(0, 30, x.shape)
    return (29_500 + 3_000 * spot + 2 * x + noise).astype(np.uint16)


def sound(i: int) -> np.ndarray[Any, Any]:
    at = np.arange(4800)
    wave = 0.6 * np.sin(at / 23 + i) * np.exp(-(((at - 2400) / 1300) ** 2))
    return (wave + np.random.default_rng(i).normal(0, 0.02, at.size)).astype(np.float32)


def motion(i: int) -> np.ndarray[Any, Any]:
    t = i / 200
    return np.array([np.sin(t), np.cos(1.3 * t), 9.81 + 0.2 * np.sin(9 * t), np.sin(3 * t) / 2])


def temperature(i: int) -> np.ndarray[Any, Any]:
    return np.array(36.6 + 0.3 * np.sin(i / 30) + 0.02 * np.sin(i))


def pose(i: int) -> np.ndarray[Any, Any]:
    c, s = np.cos(i / 40), np.sin(i / 40)
    return np.array([[c, -s, 0, 1.5], [s, c, 0, 0.2], [0, 0, 1, 0.7], [0, 0, 0, 1]])


def tracks(i: int) -> np.ndarray[Any, Any]:
    rows = [
        (
            i / 5,
            (np.sin(i / 9 + k), np.cos(i / 9 + k), k / 4),
            250 - 17 * k,
            "auto" if k % 3 else "manual",
        )
        for k in range(12)
    ]
    return np.array(rows, TRACK)


ARRAYS: dict[str, tuple[Make, int]] = {
    "depth": (depth, 20),
    "thermal": (thermal, 10),
    "sound": (sound, 20),
    "motion": (motion, 200),
    "temperature": (temperature, 10),
    "pose": (pose, 15),
    "tracks": (tracks, 5),
}


def write(name: str, make: Make, rate: int, end: threading.Event) -> None:
    with NdShArray(name, r_w="w") as writer:
        begin = time.monotonic()
        for i in range(10**9):
            writer.write(make(i))
            if end.wait(max(0.0, begin + (i + 1) / rate - time.monotonic())):
                return


def wall_of(browser: Browser, url: str, size: tuple[int, int], scheme: Any) -> Any:
    width, height = size
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.goto(url)
    page.locator(".tile .counts:not(:empty)").nth(len(ARRAYS)).wait_for()
    for name in ("depth", "thermal"):
        page.click(f"article[aria-label^='{name},'] h2")
        page.keyboard.press("c")
        if name == "thermal":
            page.keyboard.press("c")
    page.click("article[aria-label^='camera,'] h2")
    page.keyboard.press("b")  # as OpenCV has it
    page.keyboard.press("Escape")
    page.wait_for_timeout(8000)  # until the traces have a past
    return page


def take(browser: Browser, url: str, kill: Callable[[], None], folder: Path) -> None:
    for size, scheme in [(LAPTOP, "dark"), (LAPTOP, "light"), (SCREEN, "dark"), (SCREEN, "light")]:
        page = wall_of(browser, url, size, scheme)
        page.screenshot(path=folder / f"wall-{scheme}-{size[0]}.png")
        if size == LAPTOP:
            for name in ("camera", "sound", "tracks", "motion"):
                alone(page, name, folder / f"{name}-{scheme}.png")
        if (size, scheme) == (LAPTOP, "dark"):
            page.screenshot(path=folder / "view.jpg", quality=80)
        page.close()
    page = wall_of(browser, url, LAPTOP, "dark")
    kill()
    page.wait_for_selector(f"article[aria-label='{KILLED}, writer killed']")
    page.screenshot(path=folder / "killed-dark.png")
    page.keyboard.press("t")
    page.screenshot(path=folder / "killed-light.png")
    page.close()


def alone(page: Any, name: str, path: Path) -> None:
    page.click(f"article[aria-label^='{name},'] h2")
    page.keyboard.press("f")
    page.wait_for_timeout(800)
    page.mouse.move(640, 420)
    page.wait_for_timeout(800)
    page.screenshot(path=path)
    if name == "camera":
        page.screenshot(path=path.with_name("view-one.jpg"), quality=80)
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.wait_for_timeout(300)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", metavar="DIR", type=Path, help="keep all pictures there")
    parser.add_argument("--write", metavar="NAME", choices=ARRAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        write(options.write, *ARRAYS[options.write], threading.Event())
        return
    with tempfile.TemporaryDirectory() as root:
        os.environ["NDSHARRAY_DIR"] = root
        pictures(options.all)


def pictures(keep: Path | None) -> None:
    end = threading.Event()
    jobs = {"camera": (camera(), 24)} | {n: job for n, job in ARRAYS.items() if n != KILLED}
    writers = [threading.Thread(target=write, args=(n, *job, end)) for n, job in jobs.items()]
    for writer in writers:
        writer.start()
    other = subprocess.Popen([sys.executable, __file__, "--write", KILLED])
    command = [sys.executable, "-m", "ndsharray", "view", "--no-open", "--json"]
    viewer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert viewer.stdout is not None
        url = json.loads(viewer.stdout.readline())["url"]
        path = next(filter(None, map(shutil.which, BROWSERS)))
        with sync_playwright() as play, tempfile.TemporaryDirectory() as scratch:
            browser = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
            folder = keep or Path(scratch)
            take(browser, url, other.kill, folder)
            browser.close()
            for name in ("view.jpg", "view-one.jpg"):
                shutil.copy(folder / name, HERE / name)
    finally:
        other.kill()
        other.wait()
        viewer.terminate()
        viewer.wait()
        end.set()
        for writer in writers:
            writer.join()


if __name__ == "__main__":
    main()
