"""Make the moving picture of the README, `view.gif`: `python docs/pictures/restart.py`.

A producer runs in a terminal, and is killed from another one; `ndsharray view` shows its array all
the time. Each frame is made of screenshots of one moment: the page, and what is on both terminals.
It needs what `view.py` beside it needs, and tmux.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from view import BROWSERS, HERE, motion, write

import ndsharray

PROJECT = HERE.parents[1]
PICTURE = HERE / "view.gif"
WIDTH, HEIGHT = 800, 318  # of the view
ROWS, LINE = 7, 17  # of a terminal; pixels
COLUMNS = {"producer": 50, "shell": 58}
PERIOD, END = 0.15, 10.5  # seconds
COLOURS, SAME = 192, 16  # of the palette; levels by which a pixel may differ and stay as it was
LOOK = "ndsharray list 'cam*'"
PRODUCER = "python examples/video/producer.py --name camera"
STYLE = f"""
body {{ margin: 0; display: flex; gap: 2px; background: #323b47; }}
pre {{ margin: 0; padding: 6px 8px; height: {ROWS * LINE}px; overflow: hidden; background: #0b0d11;
  color: #d5dbe2; font: 11.5px/{LINE}px "DejaVu Sans Mono", monospace; }}
#producer {{ width: 352px; }} #shell {{ flex: 1; }}
"""


class Terminal:
    """A shell in a terminal of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._tmux = ["tmux", "-S", str(folder / name), "-f", "/dev/null"]
        size = ["-x", str(COLUMNS[name]), "-y", str(ROWS)]
        self._call("new-session", "-d", *size, "env", "PS1=$ ", "bash", "--norc", "--noprofile")

    def _call(self, *arguments: str) -> str:
        return subprocess.run(
            [*self._tmux, *arguments], cwd=PROJECT, check=True, capture_output=True, text=True
        ).stdout

    def type(self, text: str) -> None:
        """Type text; an empty one is the Enter key."""
        self._call("send-keys", *(["-l", text] if text else ["Enter"]))

    def text(self) -> str:
        """Return what is on the screen."""
        return self._call("capture-pane", "-p").rstrip()

    def close(self) -> None:
        """End the shell."""
        self._call("kill-server")


def film(view: Page, desk: Desk, terminals: dict[str, Terminal]) -> list[tuple[float, Image.Image]]:
    """Follow the story; return each picture with its time."""
    story = [
        (0.2, "shell", LOOK),
        (0.6, "shell", ""),
        (2.0, "shell", "kill -KILL {pid}"),
        (2.6, "shell", ""),
        (3.4, "shell", LOOK),
        (3.8, "shell", ""),
        (5.6, "producer", PRODUCER),
        (6.2, "producer", ""),
        (7.8, "shell", LOOK),
        (8.2, "shell", ""),
    ]
    pictures = []
    begin = time.monotonic()
    while (now := time.monotonic() - begin) < END:
        if story and story[0][0] <= now:
            _, name, text = story[0]
            if not text or terminals[name].text().endswith("$"):  # the command before has ended
                terminals[name].type(text.format(pid=ndsharray.info("camera").pid))
                del story[0]
        pictures.append((now, stacked(taken(view), desk.picture(terminals))))
        time.sleep(max(0.0, begin + len(pictures) * PERIOD - time.monotonic()))
    return pictures


class Desk:
    """Both terminals as a picture, taken again when what they show has changed."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._texts: dict[str, str] = {}
        bodies = "".join(f"<pre id={name}></pre>" for name in COLUMNS)
        page.set_content(f"<style>{STYLE}</style>{bodies}")

    def picture(self, terminals: dict[str, Terminal]) -> Image.Image:
        """Return how the terminals look now."""
        texts = {name: terminal.text() for name, terminal in terminals.items()}
        if texts != self._texts:
            change = "t => Object.entries(t).forEach(([i, x]) => {window[i].textContent = x})"
            self._page.evaluate(change, texts)
            self._texts, self._picture = texts, taken(self._page)
        return self._picture


def taken(page: Page) -> Image.Image:
    return Image.open(io.BytesIO(page.screenshot()))


def stacked(above: Image.Image, below: Image.Image) -> Image.Image:
    both = Image.new("RGB", (WIDTH, above.height + below.height))
    both.paste(above, (0, 0))
    both.paste(below, (0, above.height))
    return both


def save(pictures: list[tuple[float, Image.Image]], path: Path) -> None:
    """Write a GIF: of each picture what differs from the one before, in a palette for all."""
    arrays = [np.array(image, np.int16) for _, image in pictures]
    for before, array in pairwise(arrays):
        same = np.abs(array - before).max(axis=2) <= SAME
        array[same] = before[same]
    images = [Image.fromarray(array.astype(np.uint8)) for array in arrays]
    sheet = Image.fromarray(np.vstack(arrays[:: max(1, len(arrays) // 8)]).astype(np.uint8))
    palette = sheet.quantize(COLOURS, method=Image.Quantize.FASTOCTREE, kmeans=2)
    frames = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    times = [at for at, _ in pictures] + [END + 1.0]  # the last one stays for a second
    lasts = [round((after - at) * 100) * 10 for at, after in pairwise(times)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=lasts, loop=0)


def open_view(browser: Any, url: str) -> Page:
    view = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="dark")
    view.goto(url)
    view.locator(".tile .counts:not(:empty)").nth(1).wait_for()
    view.click("article[aria-label^='camera,'] h2")
    view.keyboard.press("b")  # as OpenCV has it
    view.keyboard.press("Escape")
    view.wait_for_timeout(400)  # until the picture on the screen is one in BGR
    return view


def put_commands(folder: Path) -> None:
    """Let terminals find `python` and `ndsharray` of this environment and this checkout."""
    for name, module in {"python": "", "ndsharray": "-m ndsharray"}.items():
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
        path.chmod(0o755)
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", metavar="DIR", type=Path, help="keep each picture there")
    options = parser.parse_args()
    end = threading.Event()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["NDSHARRAY_DIR"] = scratch
        put_commands(Path(scratch))
        terminals = {name: Terminal(name, Path(scratch)) for name in COLUMNS}
        writer = threading.Thread(target=write, args=("motion", lambda i: motion(10 * i), 20, end))
        writer.start()
        command = [sys.executable, "-m", "ndsharray", "view", "--no-open", "--json"]
        viewer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert viewer.stdout is not None
            url = json.loads(viewer.stdout.readline())["url"]
            path = next(filter(None, map(shutil.which, BROWSERS)))
            with sync_playwright() as play:
                browser = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
                size: Any = {"width": WIDTH, "height": ROWS * LINE + 12}
                desk = Desk(browser.new_page(viewport=size))
                terminals["producer"].type(PRODUCER)
                terminals["producer"].type("")
                pictures = film(open_view(browser, url), desk, terminals)
                browser.close()
        finally:
            for terminal in terminals.values():
                terminal.close()
            viewer.terminate()
            viewer.wait()
            end.set()
            writer.join()
    for index, (_, image) in enumerate(pictures if options.all else []):
        image.save(options.all / f"{index:03}.png")
    save(pictures, PICTURE)
    print(f"{PICTURE}: {len(pictures)} pictures, {PICTURE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
