"""The viewer's page in a Chromium without a window."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from console import Console
from patience import until

from ndsharray import NdShArray, info

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")
pytest.importorskip("PIL")
playwright = pytest.importorskip("playwright.sync_api")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium"),
    pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes under /proc"),
    pytest.mark.alternately,
    # Of the driver's own loop, when it ends.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def _on(transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NDSHARRAY_TRANSPORT", transport)


@pytest.fixture
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def viewer(root: object, _on: None) -> Iterator[subprocess.Popen[str]]:
    """A viewer of all arrays; `url` is its address."""
    command = [sys.executable, "-W", "error", "-m", "ndsharray", "view", "--no-open", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.url = json.loads(process.stdout.readline())["url"]  # type: ignore[attr-defined]
        yield process
        process.terminate()
        assert process.communicate(timeout=30) == ("", "")
        assert process.returncode == 0


@pytest.fixture
def write() -> Iterator[Callable[..., NdShArray]]:
    """Write frames at a rate until the test ends; at the rate 0 only the test itself writes."""
    end = threading.Event()
    threads: list[threading.Thread] = []
    writers: list[NdShArray] = []

    def start(name: str, make: Callable[[int], Any], rate: float) -> NdShArray:
        writer = NdShArray(name, make(1), "w")
        writers.append(writer)

        def run() -> None:
            while not end.wait(1 / rate):  # the pace
                writer.write(make(writer.frame_id + 1))

        if rate:
            threads.append(threading.Thread(target=run))
            threads[-1].start()
        return writer

    yield start
    end.set()
    for thread in threads:
        thread.join()
    for writer in writers:
        writer.close()


def open_page(browser: Any, url: str, errors: list[str] | None = None, script: str = "") -> Any:
    """Open the viewer's page; a script runs before those of the page."""
    page = browser.new_page(viewport={"width": 1366, "height": 768})
    page.set_default_timeout(30_000)
    page.add_init_script(script)
    if errors is not None:
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.goto(url)
    return page


def tile(page: Any, name: str) -> Any:
    found = page.locator(f"article.tile:has(h2:text-is('{name}'))")
    found.locator(".counts:not(:empty)").wait_for()
    return found


def pixels(where: Any) -> list[list[int]]:
    """Return 64 pixels of a tile's canvas, red, green, blue and opacity each."""
    found: list[list[int]] = where.locator(".body canvas").evaluate(
        """canvas => {
            const at = (i, length) => Math.floor((i + 0.5) * length / 8);
            const context = canvas.getContext('2d');
            return Array.from({ length: 64 }, (_, i) => [...context.getImageData(
                at(i % 8, canvas.width), at(Math.floor(i / 8), canvas.height), 1, 1).data]);
        }"""
    )
    return found


def is_coloured(where: Any) -> bool:
    return any(red != blue for red, _, blue, _ in pixels(where))


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident(pid: int) -> int:
    """Return the bytes of memory that a process holds."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def grey(i: int) -> np.ndarray[Any, Any]:
    return np.full((200, 300), i * 16 % 256, np.uint8)


def test_a_moving_picture_arrives(name: str, browser: Any, viewer: Any, write: Any) -> None:
    write(name, grey, 10)
    errors: list[str] = []
    page = open_page(browser, viewer.url, errors)
    shown = tile(page, name)
    tones: set[int] = set()

    def has_moved() -> bool:
        tones.add(pixels(shown)[36][0])  # in the middle
        return len(tones) >= 5

    until(has_moved, "five different pictures")
    assert shown.locator(".form").inner_text() == "200×300 uint8"
    assert errors == []


def test_the_values_under_the_cursor_are_those_of_the_frame_shown(
    name: str, browser: Any, viewer: Any, write: Any
) -> None:
    y, x = np.mgrid[:200, :300]

    def make(i: int) -> np.ndarray[Any, Any]:
        return (x * 7 + y * 311 + i * 1_000_003).astype(np.uint32)

    write(name, make, 20)
    page = open_page(browser, viewer.url)
    shown = tile(page, name)
    shown.locator("h2").click()
    box = shown.locator(".body").bounding_box()
    for across in (0.4, 0.5, 0.61):
        page.mouse.move(box["x"] + box["width"] * across, box["y"] + box["height"] * across)
        page.keyboard.press(" ")  # pause

        def agrees() -> bool:
            found = re.match(r"x (\d+)  y (\d+)   (\d+)$", shown.locator(".under").inner_text())
            frame = re.search(r"#(\d+)", shown.locator(".counts").inner_text())
            if not found or not frame:
                return False
            column, row, value = map(int, found.groups())
            return value == int(make(int(frame[1]))[row, column])

        until(agrees, "the raw value of the frame that the tile names")
        page.keyboard.press(" ")


def test_a_killed_writer_is_shown_as_killed_and_a_closed_one_as_closed(
    name: str, browser: Any, viewer: Any, console: Callable[..., Console]
) -> None:
    killed, closed = f"{name} 1", f"{name} 2"
    others = []
    for each in (killed, closed):
        others.append(console())
        others[-1].run(f"w = NdShArray({each!r}, np.zeros((200, 300), np.uint8), 'w')")
    page = open_page(browser, viewer.url)
    for each in (killed, closed):
        tile(page, each)
    others[0].kill()
    others[1].run("w.close()")
    for each, told in ((killed, "writer killed"), (closed, "writer closed")):
        tile(page, each).locator(".marks b", has_text=told).wait_for()
    others[1].run(f"w = NdShArray({killed!r}, np.ones((200, 300), np.uint8), 'w')")
    tile(page, killed).locator(".marks b", has_text="writer killed").wait_for(state="detached")
    others[1].run("w.close()")


def test_two_tabs_and_a_hidden_one_keep_memory_level(
    name: str, browser: Any, viewer: Any, write: Any
) -> None:
    rng = np.random.default_rng(1)
    frames = [rng.integers(0, 256, (720, 1280, 3), dtype=np.uint8) for _ in range(4)]
    writer = write(name, lambda i: frames[i % 4], 60)
    pages = [open_page(browser, viewer.url) for _ in range(3)]
    for page in pages:
        tile(page, name)
    asked: list[str] = []
    pages[2].evaluate(
        "() => { Object.defineProperty(document, 'hidden', { get: () => true });"
        " document.dispatchEvent(new Event('visibilitychange')); }"
    )
    pages[2].wait_for_timeout(1500)  # what was under way has come to its end
    pages[2].on("request", lambda request: asked.append(request.url))

    def watch(count: int) -> int:
        """Return the viewer's memory after so many frames."""
        begin = writer.frame_id
        highest = 0
        while writer.frame_id < begin + count:
            pages[0].wait_for_timeout(100)
            highest = max(highest, resident(viewer.pid))
        return highest

    before = watch(375)
    after = watch(375)
    assert after < before + 3 * frames[0].nbytes
    assert asked == []
    for page in pages[:2]:
        first = tile(page, name).locator(".counts").inner_text()
        until(lambda p=page, f=first: tile(p, name).locator(".counts").inner_text() != f, "alive")


def test_a_camera_in_view_costs_its_writer_nothing_and_the_viewer_half_a_core_at_most(
    name: str, browser: Any, viewer: Any, write: Any
) -> None:
    rng = np.random.default_rng(1)
    frames = [rng.integers(0, 60, (720, 1280, 3), dtype=np.uint8) for _ in range(4)]
    writer = write(name, lambda i: frames[i % 4], 30)
    before = info(name)
    page = open_page(browser, viewer.url)
    tile(page, name)
    page.wait_for_timeout(1000)
    for _ in range(3):  # other work may slow the viewer down in one of them
        begun, used = time.monotonic(), cpu_seconds(viewer.pid)
        page.wait_for_timeout(5000)
        share = (cpu_seconds(viewer.pid) - used) / (time.monotonic() - begun)
        if share < 0.5:
            break
    after = info(name)
    assert (after.nbytes, after.pinned_slots) == (before.nbytes, 0)
    assert writer.frame_id > before.frame_id
    assert share < 0.5
    assert int(re.search(r"#(\d+)", tile(page, name).locator(".counts").inner_text())[1]) > 30


def test_keys_and_mouse_work_on_the_selected_tile(
    name: str, browser: Any, viewer: Any, write: Any
) -> None:
    """Pause, step, colours, log, view, zoom, help."""
    y, x = np.mgrid[:200, :300]
    writer = write(name, lambda i: (x + y + i).astype(np.float32), 0)
    beside = write(name + " 2", lambda i: np.arange(5000.0) + i, 10)
    errors: list[str] = []
    page = open_page(browser, viewer.url, errors)
    shown, other = tile(page, name), tile(page, f"{name} 2")
    shown.locator("h2").click()

    def marks() -> list[str]:
        found: list[str] = shown.locator(".marks b").all_inner_texts()
        return found

    def number(where: Any) -> int:
        return int(re.search(r"#(\d+)", where.locator(".counts").inner_text())[1])

    assert not is_coloured(shown)
    page.keyboard.press("c")
    until(lambda: is_coloured(shown), "a colour map")
    page.keyboard.press("l")
    assert "log" in marks()
    page.keyboard.press(" ")
    assert "paused" in marks()
    writer.write((x * 2 + y).astype(np.float32))
    written = beside.frame_id
    until(lambda: number(other) > written, "the other tile goes on")
    assert number(shown) == 1
    before = pixels(shown)
    page.keyboard.press(".")
    until(lambda: number(shown) == 2, "a step")
    until(lambda: pixels(shown) != before, "the picture of that frame")
    assert "paused" in marks()
    before = pixels(shown)
    body = shown.locator(".body").bounding_box()
    page.mouse.move(body["x"] + body["width"] / 2, body["y"] + body["height"] / 2)
    page.mouse.wheel(0, -300)
    until(lambda: "part" in marks(), "the wheel arrives")
    until(lambda: pixels(shown) != before, "a nearer look at a paused picture")
    page.keyboard.press("v")
    until(lambda: not page.locator(".is-picture").count(), "a plot of the same")
    page.keyboard.press("f")
    until(lambda: not other.is_visible(), "the tile alone")
    page.keyboard.press("Escape")
    assert other.is_visible()
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    assert errors == []


def test_keys_before_the_first_picture_is_decoded_do_no_harm(
    name: str, browser: Any, viewer: Any
) -> None:
    held = """
        const decode = createImageBitmap;
        const gate = new Promise((open) => { globalThis.decodeAll = open; });
        globalThis.createImageBitmap = (image) => gate.then(() => decode(image));
    """
    errors: list[str] = []
    with NdShArray(name, np.tile(np.arange(300.0), (200, 1)), "w"):
        page = open_page(browser, viewer.url, errors, held)
        shown = tile(page, name)
        page.keyboard.press("c")
        page.set_viewport_size({"width": 1000, "height": 700})
        page.keyboard.press("l")
        page.evaluate("() => decodeAll()")
        until(lambda: is_coloured(shown), "a picture in colours")
    assert errors == []


def test_the_page_waits_for_a_writer(name: str, browser: Any, viewer: Any, write: Any) -> None:
    page = open_page(browser, viewer.url)
    assert "Waiting for a writer" in page.locator("#nothing").inner_text()
    write(name, grey, 10)
    tile(page, name)
    viewer.terminate()
    page.locator("#banner", has_text="The viewer has ended").wait_for()
    # A second SIGTERM, from the fixture, would meet a process that is just ending.
    assert viewer.wait(30) == 0


def test_names_and_values_are_text_and_no_part_of_the_page(
    name: str, browser: Any, viewer: Any, write: Any
) -> None:
    markup = "<img src=x onerror=alert(1)>"
    dtype = np.dtype([(markup, "U30"), ("n", "i4")])
    write(f"{name} {markup}", lambda i: np.array([(markup, i)] * 3, dtype), 10)
    page = open_page(browser, viewer.url)
    page.on("dialog", lambda dialog: dialog.dismiss())
    page.locator("article.tile td").first.wait_for()
    assert page.locator("article.tile h2").inner_text() == f"{name} {markup}"
    assert page.locator("article.tile th").all_inner_texts()[:3] == ["", markup, "n"]
    assert page.locator("article.tile td").first.inner_text() == markup
    assert page.locator("#list .name").text_content() == f"{name} {markup}"
    assert page.locator("img").count() == 0


def test_an_address_without_the_token_shows_nothing(name: str, browser: Any, viewer: Any) -> None:
    page = browser.new_page()
    port = viewer.url.split(":")[2].split("/")[0]
    assert page.goto(f"http://127.0.0.1:{port}/").status == 403
    assert page.goto(viewer.url[:-2] + "/").status == 403
    assert page.goto(viewer.url.replace("127.0.0.1", "localhost")).status == 200
    # A page of another origin cannot read it.
    page.goto("about:blank")
    told = page.evaluate("url => fetch(url).then(() => 'read', () => 'refused')", viewer.url)
    assert told == "refused"
