"""Numbers for people."""

from __future__ import annotations

import numpy as np
import pytest

from ndsharray.tools.common import units


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (units.human(0), "0 B"),
        (units.human(1023), "1023 B"),
        (units.human(1536), "1.5 KiB"),
        (units.human(8_299_264), "7.9 MiB"),
        (units.human(64 * 2**30), "64 GiB"),
        (units.human(3 * 2**40), "3 TiB"),
        (units.rate(12.4), "12 B/s"),
        (units.rate(83e6), "83 MB/s"),
        (units.rate(1.25e9), "1.2 GB/s"),
        (units.duration(4.2e-5), "42 us"),
        (units.duration(0.0021), "2.1 ms"),
        (units.duration(3.14), "3.1 s"),
        (units.duration(600), "10 min"),
        (units.duration(3 * 3600), "3 h"),
        (units.duration(10 * 86400), "10 d"),
        (units.hertz(29.98), "29.98 Hz"),
        (units.hertz(0.1), "0.1000 Hz"),
        (units.hertz(123456.7), "123457 Hz"),
        (units.milliseconds(0.4242), "0.42 ms"),
        (units.milliseconds(4.242), "4.2 ms"),
        (units.milliseconds(41.4), "41 ms"),
        (units.plural(1, "reader"), "1 reader"),
        (units.plural(0, "reader"), "0 readers"),
        (units.describe((720, 1280, 3), np.dtype("u1")), "720x1280x3 uint8"),
        (units.describe((), np.dtype("f4")), "scalar float32"),
        (units.describe((2,), np.dtype([("a", "i4")])), "2 structured"),
        (units.describe(None, None), ""),
    ],
)
def test_numbers_are_short_and_have_units(text: str, expected: str) -> None:
    assert text == expected
