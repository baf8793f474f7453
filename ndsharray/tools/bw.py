"""``ndsharray bw``: how many bytes a second come."""

from __future__ import annotations

import argparse
from typing import Any

from .common import bytes_of, common, emit, hertz, rate
from .common.meters import Metered, arguments_of_reports, reports
from .common.terminal import print_rows, shown

__all__ = ["EXAMPLE", "HELP", "arguments", "run"]

HELP = (
    "Print once a second how many bytes a second arrays get: the rate of frames times the bytes "
    "of the newest frame."
)
EXAMPLE = "ndsharray bw --count 10"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    arguments_of_reports(parser)
    common(parser)


def run(options: argparse.Namespace) -> int:
    """Print a line for each array and second."""
    for arrays in reports(options):
        records = [record_of(each) for each in arrays]
        if options.json:
            for record in records:
                emit(record)
        else:
            print_rows([_cells(record) for record in records], drop=(2,))
    return 0


def record_of(each: Metered) -> dict[str, Any]:
    """Return what is known of an array's bandwidth, as it is printed in JSON."""
    hz, size = each.rate().hz, bytes_of(each.info)
    per_second = None if hz is None or size is None else hz * size
    return {
        "name": each.info.name,
        "bytes_per_second": per_second,
        "hz": hz,
        "frame_bytes": size,
    }


def _cells(record: dict[str, Any]) -> list[str]:
    per_second, size = record["bytes_per_second"], record["frame_bytes"]
    if per_second is None:
        return [shown(record["name"]), "no rate yet"]
    return [shown(record["name"]), rate(per_second), f"{size:,} bytes x {hertz(record['hz'])}"]
