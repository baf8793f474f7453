"""What frames look like in the viewer: pictures, levels, colours, plots, tables, traces."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")

from ndsharray.tools.view.colours import MAPS, NOT_A_NUMBER, table  # noqa: E402
from ndsharray.tools.view.frames import Frame  # noqa: E402
from ndsharray.tools.view.looks import MODES, Look, look_of  # noqa: E402
from ndsharray.tools.view.render import element, modes_of, render  # noqa: E402

RECORD = np.dtype([("t", "f8"), ("at", "f4", 3), ("n", "u1"), ("mode", "U8")])


def frame_of(array: np.ndarray[Any, Any]) -> Frame:
    return Frame(array, 1, 0, 0)


def pixels(array: np.ndarray[Any, Any], dark: Any = None, **look: Any) -> np.ndarray[Any, Any]:
    """Return what a page shows, of shape (height, width, 3)."""
    kept = None if dark is None else frame_of(dark)
    facts, data = render(frame_of(array), Look(mode="picture", **look), kept)
    width, height = facts["image"]
    if facts["encoding"] == "rgba":
        return np.frombuffer(data, np.uint8).reshape(height, width, 4)[..., :3]
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def facts_of(array: np.ndarray[Any, Any], **look: Any) -> dict[str, Any]:
    return render(frame_of(array), Look(**look))[0]


# --- pictures


def test_small_pictures_are_exact() -> None:
    colours = np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    assert np.array_equal(pixels(colours), colours)
    assert np.array_equal(pixels(colours[..., ::-1], bgr=True), colours)
    assert np.array_equal(pixels(colours[..., 0]), np.repeat(colours[..., :1], 3, axis=-1))
    assert np.array_equal(pixels(np.moveaxis(colours, -1, 0)), colours)  # channels first


def test_large_pictures_are_the_mean_of_what_they_leave_out() -> None:
    ramp = np.add.outer(np.arange(720), np.arange(1280)).astype(np.uint8) // 8
    picture = pixels(np.repeat(ramp[..., None], 3, axis=-1), width=640, height=360)
    assert picture.shape == (360, 640, 3)
    mean = ramp.reshape(360, 2, 640, 2).mean(axis=(1, 3))
    assert np.abs(picture.mean(axis=-1) - mean).max() < 24  # JPEG
    assert np.abs(picture.mean(axis=-1) - mean).mean() < 1


@pytest.mark.parametrize("size", [(16, 16), (100, 1000), (333, 77), (640, 480)])
def test_no_picture_has_many_more_pixels_than_its_tile(size: tuple[int, int]) -> None:
    for shape in [(720, 1280), (2160, 3840), (5000, 40), (9, 9)]:
        facts, _ = render(frame_of(np.zeros(shape, np.uint8)), Look("picture", *size))
        width, height = facts["image"]
        assert min(width / size[0], height / size[1]) < 2
        assert facts["size"] == [shape[1], shape[0]]


def test_a_part_is_shown_in_full_detail() -> None:
    array = np.arange(256 * 256, dtype=np.uint32).reshape(256, 256) % 251
    picture = pixels(array.astype(np.uint8), crop=(10, 20, 70, 60), width=60, height=40)
    assert np.array_equal(picture[..., 0], array[20:60, 10:70])
    for crop in [(-50.0, -50.0, 1e9, 1e9), (300.0, 300.0, 200.0, 200.0), (5.5, 5.5, 5.6, 5.6)]:
        left, top, right, bottom = facts_of(array, mode="picture", crop=crop)["part"]
        assert 0 <= left < right <= 256
        assert 0 <= top < bottom <= 256


@pytest.mark.parametrize("dtype", ["u2", "i2", "i4", "u8", "f2", "f4", "f8", ">f4", "c8", "?"])
def test_automatic_levels_span_the_values(dtype: str) -> None:
    low, high = (0, 1) if dtype == "?" else (100, 900)
    array = np.full((20, 20), low, dtype)
    array[5:9] = high
    picture = pixels(array, auto=True)[..., 0]
    assert (picture[5:9] == 255).all()
    assert (picture[:5] == 0).all()
    assert facts_of(array, mode="picture", auto=True)["levels"] == [low, high]


@pytest.mark.parametrize(("dtype", "full"), [("u1", 255), ("u2", 65535), ("i2", 32767), ("f4", 1)])
def test_without_automatic_levels_the_dtype_decides(dtype: str, full: int) -> None:
    array = np.zeros((20, 20), dtype)
    array[0] = full
    picture = pixels(array, auto=False)[..., 0]
    assert (picture[0] == 255).all()
    assert (picture[1:] == (128 if dtype == "i2" else 0)).all()


def test_one_hot_pixel_does_not_darken_the_others() -> None:
    array = np.random.default_rng(1).normal(100, 10, (200, 200)).astype(np.float32)
    array[3, 3] = 1e9
    low, high = facts_of(array, mode="picture")["levels"]
    assert 60 < low < 90
    assert 110 < high < 140


def test_logarithmic_levels() -> None:
    array = np.array([[1.0, 10.0, 100.0, 0.0, -5.0]] * 5)
    assert pixels(array, auto=True, log=True)[0, :, 0].tolist() == [0, 128, 255, 0, 0]
    assert pixels(array.clip(0).astype(np.uint8), log=True)[0, 0, 0] == 0
    assert pixels(np.full((5, 5), 255, np.uint8), log=True)[0, 0, 0] == 255


def test_nan_has_a_colour_of_its_own_and_infinities_are_the_ends() -> None:
    array = np.ones((10, 10), np.float32)
    array[0], array[1], array[2], array[3] = np.nan, np.inf, -np.inf, 0
    for colours in MAPS:
        picture = pixels(array, colours=colours, auto=False)
        assert (picture[0] == NOT_A_NUMBER).all()
        assert (picture[1] == table(colours)[255]).all()
        assert (picture[2] == table(colours)[0]).all()
    facts = facts_of(array)
    assert (facts["nans"], facts["infinities"], facts["low"], facts["high"]) == (10, 20, 0.0, 1.0)


def test_a_frame_without_a_number_is_shown_all_the_same() -> None:
    picture = pixels(np.full((10, 10), np.nan))
    assert (picture == NOT_A_NUMBER).all()
    assert facts_of(np.full((10, 10), np.nan))["low"] is None


@pytest.mark.parametrize("colours", [name for name in MAPS if name != "grey"])
def test_colour_maps_run_from_their_first_to_their_last_colour(colours: str) -> None:
    array = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(pixels(array, colours=colours), table(colours)[array])
    ends = [MAPS[colours].split()[i] for i in (0, -1)]
    assert [bytes(table(colours)[i]).hex() for i in (0, 255)] == ends


def test_transparency_shows_a_ground_of_squares() -> None:
    array = np.zeros((16, 16, 4), np.uint8)
    array[:8] = (10, 20, 30, 255)
    picture = pixels(array)
    assert (picture[:8] == (10, 20, 30)).all()
    assert set(picture[8:].ravel().tolist()) == {102, 153}
    assert (pixels(array, bgr=True)[:8] == (30, 20, 10)).all()


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "?"])
def test_the_dark_frame_is_subtracted(dtype: str) -> None:
    array = np.ones((20, 20), dtype)
    dark = np.zeros((20, 20), dtype)
    dark[4] = 1
    picture = pixels(array, dark=dark, auto=True)[..., 0]
    assert (picture[4] < picture[5]).all()
    assert np.array_equal(pixels(array, dark=dark[:5]), pixels(array))  # another shape: not at all


def test_a_stack_shows_the_chosen_picture() -> None:
    stack = np.arange(5 * 20 * 20, dtype=np.uint16).reshape(5, 20, 20) // 400 * 50
    for index in range(5):
        assert (pixels(stack.astype(np.uint8), index=index) == index * 50).all()
    assert facts_of(stack)["planes"] == 5
    assert element(frame_of(stack), "picture", 3, 1, 1) == "150"


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 500), (500, 1), (2, 2, 3), (3, 3, 3), (2, 3, 4, 5, 3)]
)
@pytest.mark.parametrize("dtype", ["u1", "f4", "?", "c16", "i8"])
def test_every_shape_has_a_picture(shape: tuple[int, ...], dtype: str) -> None:
    for look in ({}, {"auto": True, "log": True}, {"colours": "coolwarm", "auto": True}):
        assert pixels(np.ones(shape, dtype), **look).size


# --- plots, tables, traces


@pytest.mark.parametrize(
    ("array", "best"),
    [
        (np.zeros((480, 640)), "picture"),
        (np.zeros((20, 20, 3), np.uint8), "picture"),
        (np.zeros(1000), "plot"),
        (np.zeros((3, 1000)), "plot"),
        (np.zeros((1000, 6)), "plot"),
        (np.zeros(1000, "M8[ns]"), "plot"),
        (np.zeros((4, 4)), "table"),
        (np.zeros(12, RECORD), "table"),
        (np.array(["a", "bc"]), "table"),
        (np.array(1.5), "trace"),
        (np.zeros(6), "trace"),
    ],
)
def test_each_array_is_shown_as_suits_it(array: np.ndarray[Any, Any], best: str) -> None:
    assert modes_of(array)[0] == best
    for mode in modes_of(array):
        facts, _ = render(frame_of(array), Look(mode=mode))
        assert facts["kind"] == mode
    assert render(frame_of(array[..., :0] if array.ndim else array), Look())[0]["modes"] is not None


def test_a_thinned_plot_loses_no_peak() -> None:
    array = np.zeros(1_000_003, np.float32)
    array[[5, 777_777, 1_000_002]] = 1, -2, 3
    facts, data = render(frame_of(array), Look(width=500))
    values = np.frombuffer(data).reshape(1, 500, 2)
    assert (values[0, 0, 1], values[0, 388, 0], values[0, 499, 1]) == (1, -2, 3)
    assert np.count_nonzero(values) == 3
    assert (facts["columns"], facts["thinned"], facts["points"]) == (500, True, 1_000_003)


def test_a_plot_shows_values_between_nans_and_gaps_where_all_are() -> None:
    array = np.full(1000, np.nan)
    array[:500:2] = 7
    _, data = render(frame_of(array), Look(width=50))
    values = np.frombuffer(data).reshape(50, 2)
    assert (values[:25] == 7).all()
    assert np.isnan(values[25:]).all()


def test_a_plot_has_a_line_for_each_channel() -> None:
    array = np.arange(3000.0).reshape(1000, 3)
    facts, data = render(frame_of(array), Look(width=2000))
    assert np.array_equal(np.frombuffer(data).reshape(3, 1000), array.T)
    assert facts["lines"] == 3
    assert element(frame_of(array), "plot", 0, 10, 0) == "30.0, 31.0, 32.0"
    part, data = render(frame_of(array), Look(width=2000, crop=(100, 0, 200, 1)))
    assert np.array_equal(np.frombuffer(data).reshape(3, 100), array.T[:, 100:200])
    assert part["part"] == [100, 200]


def test_records_are_tables_and_their_numbers_traces() -> None:
    record = np.array((1.5, (1, 2, 3), 7, "auto"), RECORD)
    facts = facts_of(record)
    assert facts["rows"] == [["t", "1.5"], ["at", "[1, 2, 3]"], ["n", "7"], ["mode", "auto"]]
    facts = facts_of(record, mode="trace")
    assert facts["labels"] == ["t", "at[0]", "at[1]", "at[2]", "n"]
    assert facts["values"] == [1.5, 1.0, 2.0, 3.0, 7.0]
    many = np.array([record] * 100)
    facts = facts_of(many)
    assert (facts["columns"], len(facts["rows"])) == (["t", "at", "n", "mode"], 64)
    assert facts["whole"] == [100, 4]
    assert element(frame_of(many), "table", 0, 1, 99) == "[1.0, 2.0, 3.0]"


def test_elements_keep_all_their_digits_and_tables_seven() -> None:
    array = np.array([[1 / 3, 2.0], [np.nan, 1e30]])
    assert facts_of(array)["rows"] == [["0.3333333", "2"], ["nan", "1e+30"]]
    assert element(frame_of(array), "table", 0, 0, 0) == str(1 / 3)
    assert element(frame_of(np.float32(array)), "picture", 0, 0, 0) == "0.33333334"
    for x, y in [(-1, 0), (0, -1), (2, 0), (0, 2)]:
        for mode in ("picture", "table"):
            assert element(frame_of(array), mode, 0, x, y) == ""


def test_nothing_of_json_is_infinite() -> None:
    facts = facts_of(np.array([np.nan, np.inf, 1.0]), mode="trace")
    assert facts["values"] == [None, None, 1.0]
    assert facts["texts"] == ["nan", "inf", "1.0"]


HOSTILE = [
    np.full((65, 65), 1_700_000_000_000_000_000),  # + 1.0 is the same float
    np.full((65, 65), np.finfo(np.float64).max),
    np.full((65, 65), 2**64 - 1, np.uint64),
    np.array([[np.nan, 1e308], [np.inf, -1e308]] * 40),
    np.full((65, 65), np.finfo(np.longdouble).max),  # a float64 has nothing as large
    np.array(np.finfo(np.longdouble).max),
    np.full(40, "NaT", "M8[s]"),
    np.zeros((), RECORD),
    np.zeros(3, np.dtype([])),
    np.zeros(3, "S0"),
    np.zeros((4, 0, 3), np.uint8),
    np.zeros((9, 100_000), ">u2"),
]


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.parametrize("array", HOSTILE, ids=lambda array: f"{array.shape} {array.dtype}")
def test_no_values_break_the_page(array: np.ndarray[Any, Any]) -> None:
    frame, modes = frame_of(array), ("", *MODES)
    for mode in modes:
        for auto, log, colours in [(None, False, "grey"), (True, True, "coolwarm")]:
            look = Look(mode=mode, auto=auto, log=log, colours=colours, width=100, height=80)
            json.dumps(render(frame, look)[0], allow_nan=False)
        for x, y in [(0, 0), (7, 7), (10**9, 0)]:  # of a mode that it was shown in before, perhaps
            assert isinstance(element(frame, mode, 0, x, y), str)


# --- questions


def test_a_look_that_no_page_asks_for_is_refused() -> None:
    assert look_of({"w": 10**9, "h": -5}) == Look(width=4096, height=16)
    for wrong in ({"mode": "film"}, {"map": "jet"}, {"crop": [0, 0, float("nan"), 1]}):
        with pytest.raises(ValueError, match="no such"):
            look_of(wrong)
