"""The viewer's server: who may ask, what is newer, and that nothing piles up."""

from __future__ import annotations

import asyncio
import http.client
import io
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from patience import until

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")
Image = pytest.importorskip("PIL.Image")

from viewing import TOKEN, Viewing  # noqa: E402  # what it imports may be missing

from ndsharray import NdShArray, info  # noqa: E402
from ndsharray.tools.common import ToolError  # noqa: E402
from ndsharray.tools.view import app, catalogue, feeds, frames  # noqa: E402
from ndsharray.tools.view.looks import Look  # noqa: E402
from ndsharray.tools.view.private import Private  # noqa: E402


@pytest.fixture(autouse=True)
def _on(transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NDSHARRAY_TRANSPORT", transport)
    monkeypatch.setattr(catalogue, "_EVERY", 0.05)
    be_patient(monkeypatch, 0.2)


def be_patient(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Choose after how long a page hears that there is nothing new."""
    monkeypatch.setattr(app, "PATIENCE", seconds)
    monkeypatch.setattr(feeds, "PATIENCE", seconds)


pytestmark = pytest.mark.alternately


# --- who may ask


def test_without_the_token_nobody_learns_anything() -> None:
    with Viewing() as viewing:
        for token in ("", "wrong", TOKEN[:-1], TOKEN + "x"):
            for path in ("", "main.js", "next?q={}", "element?"):
                status, _, body = viewing.ask(path, token=token)
                assert status == 403
                assert TOKEN.encode() not in body


def test_a_host_of_another_name_is_refused() -> None:
    with Viewing() as viewing:
        own = [f"127.0.0.1:{viewing.port}", f"localhost:{viewing.port}"]
        foreign = ["127.0.0.1", "evil.example", f"evil.example:{viewing.port}", ""]
        for host in own:
            assert viewing.ask("", headers={"Host": host})[0] == 200
        for host in foreign:
            assert viewing.ask("", headers={"Host": host})[0] == 421


def test_at_the_port_of_http_the_host_has_no_port() -> None:
    for port, host, refused in [
        (80, b"127.0.0.1", None),
        (80, b"evil.example", 421),
        (8080, b"127.0.0.1", 421),
        (8080, b"127.0.0.1:8080", None),
    ]:
        guard = Private(Viewing, TOKEN, port)  # type: ignore[arg-type]
        scope = {"headers": [(b"host", host), (b"origin", b"http://" + host)], "method": "GET"}
        answer = guard._refusal(scope, TOKEN.encode())
        assert (answer[0] if answer else None) == refused


def test_a_page_of_another_server_is_refused() -> None:
    with Viewing() as viewing:
        own = f"http://127.0.0.1:{viewing.port}"
        assert viewing.ask("", headers={"Origin": own})[0] == 200
        for origin in ("http://evil.example", "null", "http://127.0.0.1:1", own + ".evil.example"):
            assert viewing.ask("", headers={"Origin": origin})[0] == 403


def test_the_server_is_for_looking_only() -> None:
    with Viewing() as viewing:
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
            status, headers, _ = viewing.ask("", method=method)
            assert status == 405
            assert "access-control-allow-origin" not in headers


def test_every_answer_keeps_browsers_from_storing_and_sharing_it() -> None:
    with Viewing() as viewing:
        for path, token in [("", TOKEN), ("main.js", TOKEN), ("nothing", TOKEN), ("", "wrong")]:
            _, headers, _ = viewing.ask(path, token=token)
            assert headers["cache-control"] == "no-store"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["content-security-policy"].startswith("default-src 'none'; script-src")
            assert headers["x-content-type-options"] == "nosniff"
            assert not [name for name in headers if name.startswith("access-control")]


def test_the_server_listens_on_this_machine_only() -> None:
    with Viewing() as viewing:
        assert viewing._listening.getsockname()[0] == "127.0.0.1"


def test_the_page_and_all_it_needs_come_from_the_package() -> None:
    with Viewing() as viewing:
        status, headers, page = viewing.ask("")
        assert (status, headers.get_content_type()) == (200, "text/html")
        assert b"http://" not in page
        assert b"https://" not in page
        for file in app.PAGE.iterdir():
            status, headers, body = viewing.ask(file.name)
            assert (status, body) == (200, file.read_bytes())


def test_no_path_leads_out_of_the_page() -> None:
    with Viewing() as viewing:
        for path in ("../app.py", "%2e%2e/app.py", "..%2fapp.py", "/etc/passwd", "page/main.js"):
            assert viewing.ask(path)[0] == 404


def test_a_question_that_no_page_asks_gets_one_line() -> None:
    looks = ['"mode":"film"', '"map":"../x"', '"w":"wide"', '"crop":[1]', '"crop":[0,0,NaN,1]']
    tiles = ["{}", *(f'{{"key":"a","after":0,{look}}}' for look in looks)]
    questions = ["", "{", "[]", '{"seen":"x","tiles":[]}', '{"seen":1e999,"tiles":[]}']
    questions += ['{"seen":0,"tiles":[1]}', '{"seen":0,"tiles":[{"key":"a","after":0,"at":[1]}]}']
    questions += [f'{{"seen":0,"tiles":[{tile}]}}' for tile in tiles]
    with Viewing() as viewing:
        for query in ("next", "element", *(f"next?q={question}" for question in questions)):
            status, _, body = viewing.ask(query)
            assert status == 400
            assert body.startswith(b"bad question: ")
            assert body.count(b"\n") == 1


def test_a_page_may_ask_for_many_arrays_with_long_names() -> None:
    tiles = [{"key": f"mmap/{i}{'左' * 700}", "after": 0} for i in range(64)]
    with Viewing() as viewing:
        assert viewing.next(*tiles) == []  # there are none of these names


# --- frames


@pytest.mark.parametrize("is_over", [False, True])
def test_a_frame_is_waited_for_after_a_read_of_another_page_that_brought_none(
    name: str, is_over: bool
) -> None:
    async def main() -> None:
        feed = feeds.Feed(lambda: NdShArray(name, r_w="r"), 100.0)
        other = asyncio.ensure_future(feed._read(0.05))
        if is_over:  # and the loop learns of it as the page begins to wait
            feed._thread.submit(bool).result()
        newer = asyncio.ensure_future(feed.newer(0))
        await other
        writer.write(np.arange(3))
        frame = await asyncio.wait_for(newer, 20)
        assert frame is not None
        feed.close()

    with NdShArray(name, r_w="w") as writer:
        asyncio.run(main())


def test_a_page_gets_the_frame_after_the_one_it_has(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with NdShArray(name, np.full((200, 300), 7, np.uint8), "w") as writer, Viewing(name) as viewing:
        key = viewing.key(name)
        facts, data = viewing.picture(key, w=300, h=200)
        assert (facts["kind"], facts["encoding"], facts["size"]) == ("picture", "jpeg", [300, 200])
        assert abs(int(np.asarray(Image.open(io.BytesIO(data)))[100, 150]) - 7) <= 1
        ((same, nothing),) = viewing.next({"key": key, "after": facts["serial"]})
        assert (same["serial"], nothing) == (facts["serial"], b"")
        be_patient(monkeypatch, 10.0)
        threading.Timer(0.05, writer.write, [np.full((200, 300), 200, np.uint8)]).start()
        begin = time.monotonic()
        ((newer, data),) = viewing.next({"key": key, "after": facts["serial"]})
        assert time.monotonic() - begin < 5  # it came by itself, not at the end of the wait
        assert (newer["frame"], newer["missed"]) == (facts["frame"] + 1, 0)
        assert np.asarray(Image.open(io.BytesIO(data)))[100, 150] > 190


def test_one_rendering_serves_all_pages_with_the_same_look(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[object] = []
    real = app.render
    monkeypatch.setattr(app, "render", lambda *given: rendered.append(given[1]) or real(*given))
    with NdShArray(name, np.zeros((200, 300)), "w"), Viewing(name) as viewing:
        key = viewing.key(name)
        answers = [viewing.picture(key, w=64, h=64) for _ in range(5)]
        assert len({data for _, data in answers}) == 1
        assert len(rendered) == 1
        viewing.picture(key, w=65, h=64)
        assert len(rendered) == 2


def test_who_waits_keeps_no_other_waiting(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question about a silent array and a busy one is answered for the busy one."""
    silent, busy = name + "-silent", name + "-busy"
    with (
        NdShArray(silent, np.zeros(100), "w"),
        NdShArray(busy, np.zeros(100), "w") as writer,
        Viewing(name + "*") as viewing,
    ):
        keys = [viewing.key(silent), viewing.key(busy)]
        serials = [viewing.picture(key)[0]["serial"] for key in keys]
        be_patient(monkeypatch, 10.0)
        writer.write(np.ones(100))
        begin = time.monotonic()
        (_, nothing), (facts, data) = viewing.next(
            *({"key": key, "after": after} for key, after in zip(keys, serials))
        )
        assert time.monotonic() - begin < 5
        assert (nothing, facts["frame"]) == (b"", 2)
        assert np.array_equal(np.frombuffer(data), np.ones(100))


def test_elements_are_those_of_the_very_frame(name: str) -> None:
    rng = np.random.default_rng(1)
    frames = [rng.integers(0, 65536, (50, 60), dtype=np.uint16) for _ in range(2)]
    with NdShArray(name, frames[0], "w") as writer, Viewing(name) as viewing:
        key = viewing.key(name)
        first, _ = viewing.picture(key, at=[59, 49])
        assert first["element"] == str(frames[0][49, 59])
        writer.write(frames[1])
        second, _ = viewing.picture(key, after=first["serial"], at=[3, 4])
        assert second["element"] == str(frames[1][4, 3])
        for facts, frame in zip((first, second), frames):
            answer = viewing.element(key, facts["serial"], 7, 8)
            assert answer == {"element": str(frame[8, 7])}
        assert viewing.element(key, second["serial"], 60, 0) == {"element": ""}


def test_a_frame_stays_for_a_page_that_pauses_and_no_other_does(name: str) -> None:
    with NdShArray(name, np.zeros((20, 20)), "w") as writer, Viewing(name) as viewing:
        key = viewing.key(name)
        serials = [viewing.picture(key)[0]["serial"]]
        viewing.picture(key, frame=serials[0])  # pauses
        for i in range(1, 10):
            writer.write(np.full((20, 20), float(i)))
            serials.append(viewing.picture(key, after=serials[-1])[0]["serial"])
        assert viewing.element(key, serials[0], 1, 1) == {"element": "0.0"}
        assert viewing.element(key, serials[-1], 1, 1) == {"element": "9.0"}
        assert viewing.element(key, serials[1], 1, 1) == {"gone": True}
        assert viewing.picture(key, frame=serials[1])[0]["gone"]


def test_a_dark_frame_is_subtracted_as_long_as_it_is_asked_for(name: str) -> None:
    dark = np.arange(400, dtype=np.uint8).reshape(20, 20)
    with NdShArray(name, dark, "w") as writer, Viewing(name) as viewing:
        key = viewing.key(name)
        serial = first = viewing.picture(key)[0]["serial"]
        for extra in (5, 9, 13, 17):
            writer.write(np.minimum(dark, 200) + np.uint8(extra))
            facts, data = viewing.picture(key, after=serial, dark=first, auto=False)
            serial = facts["serial"]
            tones = np.frombuffer(data, np.uint8).reshape(20, 20, 4)[..., 0]
            assert (tones[dark < 200] == extra).all()
            assert (tones[dark == 255] == 0).all()  # darker than the dark frame
        assert viewing.picture(key, dark=10**9)[0]["dark_gone"]


# --- arrays come and go


def test_a_writer_that_comes_later_is_shown(name: str) -> None:
    with Viewing(name) as viewing:
        assert viewing.key(name, "absent").startswith("?/")
        with NdShArray(name, np.arange(100.0), "w"):
            facts, _ = viewing.picture(viewing.key(name))
            assert facts["kind"] == "plot"
            assert len(viewing.arrays) == 1
        viewing.key(name, "closed")
        with NdShArray(name, np.arange(50.0), "w"):
            key = viewing.key(name)
            assert viewing.picture(key, after=facts["serial"])[0]["points"] == 50


def test_without_names_all_living_arrays_are_shown(name: str) -> None:
    with NdShArray(name, np.zeros(3), "w"), Viewing() as viewing:
        viewing.key(name)
        with NdShArray(name + "-2", np.zeros(3), "w"):
            viewing.key(name + "-2")


def test_an_array_that_nobody_looks_at_is_not_read(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with NdShArray(name, np.zeros(3), "w"), Viewing(name) as viewing:
        key = viewing.key(name)
        assert info(name).readers == 0
        viewing.picture(key)
        assert info(name).readers == 1
        monkeypatch.setattr(app, "_IDLE", 0.0)
        viewing.next()
        viewing.next()
        assert not viewing.viewer._feeds
        for _ in range(1000):
            if not info(name).readers:
                break
            viewing.next()
        assert info(name).readers == 0


def test_looking_makes_no_writer_grow(name: str) -> None:
    frame = np.zeros((100, 100), np.float32)
    with NdShArray(name, frame, "w", slots=2) as writer, Viewing(name) as viewing:
        key, serial = viewing.key(name), 0
        before = info(name).nbytes
        for _ in range(50):
            writer.write(frame)
            serial = viewing.picture(key, after=serial)[0]["serial"]
        assert info(name).nbytes == before
        assert info(name).pinned_slots == 0


@pytest.mark.parametrize("error", [OSError("the disk is gone"), ToolError("the root has gone")])
def test_what_cannot_be_read_is_told_and_keeps_no_other_waiting(
    name: str, root: Path, error: Exception
) -> None:
    bad, good = name + "-bad", name + "-good"
    with (
        NdShArray(bad, np.zeros(30), "w"),
        NdShArray(good, np.zeros(30), "w"),
        Viewing(name + "*") as viewing,
    ):
        keys = [viewing.key(bad), viewing.key(good)]

        def refuse(timeout: float) -> None:
            raise error

        viewing.picture(keys[0])
        viewing.viewer._feeds[keys[0]]._take = refuse  # type: ignore[method-assign]
        for _ in range(100):
            (told, _), *_ = viewing.next({"key": keys[0], "after": 10**9})
            if told["problem"]:
                break
        assert told["problem"] == str(error)
        assert viewing.picture(keys[1])[0]["kind"] == "plot"


def test_what_cannot_be_drawn_is_told_and_hides_no_other(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = name + "-bad", name + "-good"
    draw = app.render

    def render(frame: frames.Frame, look: Look, dark: frames.Frame | None) -> frames.Rendered:
        if not frame.array.any():
            raise ZeroDivisionError("nobody has thought of this")
        return draw(frame, look, dark)

    monkeypatch.setattr(app, "render", render)
    with (
        NdShArray(bad, np.zeros(30), "w"),
        NdShArray(good, np.ones(30), "w"),
        Viewing(name + "*") as viewing,
    ):
        keys = [viewing.key(bad), viewing.key(good)]
        for _ in range(100):
            (told, _), (shown, _) = viewing.next({"key": keys[0]}, {"key": keys[1]})
            if told["problem"] and "kind" in shown:
                break
        assert told["problem"] == "cannot be shown: nobody has thought of this"
        assert shown["kind"] == "plot"


# --- the end


def test_pages_that_wait_are_answered_at_the_end(name: str) -> None:
    with NdShArray(name, np.zeros(30), "w"), Viewing(name) as viewing:
        key = viewing.key(name)
        serial = viewing.picture(key)[0]["serial"]
        connection = http.client.HTTPConnection("127.0.0.1", viewing.port, timeout=20)
        question = f'{{"seen":{viewing.version},"tiles":[{{"key":"{key}","after":{serial}}}]}}'
        connection.request("GET", f"/{TOKEN}/next?q={question.replace(' ', '%20')}")
        until(lambda: viewing.is_answering, "the question has come")
        viewing.stop()
        with connection.getresponse() as answer:
            assert answer.status in (200, 503)
            if answer.status == 503:
                assert answer.read().startswith(b"The viewer has ended")
        connection.close()
