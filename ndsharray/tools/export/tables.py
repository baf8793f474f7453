"""Recordings as numpy's files, frame by frame: memory holds one at a time."""

from __future__ import annotations

import argparse
import os
import zipfile
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from .takes import Layout, Takes, file_name, stem_of

__all__ = ["to_npy", "to_npz"]

Written = list[tuple[str, int]]


def to_npz(takes: Takes, options: argparse.Namespace) -> Written:
    """Write one file: an array for each name, its frames along a new first axis, and their times.

    An array whose shape or dtype changes has a member for each frame: ``camera/000000``.
    """
    path = options.output or stem_of(options.paths[0]) + ".npz"
    count = 0
    try:
        with zipfile.ZipFile(path, "w" if options.force else "x", allowZip64=True) as archive:
            for topic, layouts in takes.layouts.items():
                if len(layouts) == 1:
                    layout = next(iter(layouts))
                    with archive.open(f"{topic}.npy", "w", force_zip64=True) as member:
                        times = _stack(takes, topic, layout, layouts[layout], member)
                else:
                    times = _each(takes, topic, archive)
                for name, values in zip(("time_ns", "log_time_ns"), times):
                    with archive.open(f"{topic}.{name}.npy", "w") as member:
                        _save(member, np.array(values, np.int64))
                count += len(times[0])
    except FileExistsError:
        raise
    except BaseException:
        _remove(path)
        raise
    return [(path, count)]


def to_npy(takes: Takes, options: argparse.Namespace) -> Written:
    """Write a file for each array, its frames along a new first axis, and one of their times.

    Raises
    ------
    ValueError
        If an array's shape or dtype changes.
    """
    for topic, layouts in takes.layouts.items():
        if len(layouts) > 1:
            raise ValueError(f"{topic!r} changes its shape or dtype: --to npz holds such frames")
    folder = options.output or stem_of(options.paths[0])
    os.makedirs(folder, exist_ok=True)
    written: Written = []
    for topic, layouts in takes.layouts.items():
        (layout, count), *_ = layouts.items()
        path = os.path.join(folder, file_name(topic) + ".npy")
        try:
            with open(path, "wb" if options.force else "xb") as file:
                times = _stack(takes, topic, layout, count, file)
        except FileExistsError:
            raise
        except BaseException:
            _remove(path)
            raise
        stamps = os.path.join(folder, file_name(topic) + ".time_ns.npy")
        with open(stamps, "wb" if options.force else "xb") as file:
            _save(file, np.array(times[0], np.int64))
        written.append((path, count))
    return written


def _stack(
    takes: Takes, topic: str, layout: Layout, count: int, file: IO[bytes]
) -> tuple[list[int], list[int]]:
    """Write all frames of an array as one; return their times: their own, and of the write."""
    dtype, shape = layout
    _header(file, dtype, (count, *shape))
    own, logged = [], []
    for frame in takes.frames(topic):
        file.write(frame.values.payload)
        own.append(frame.publish_time)
        logged.append(frame.log_time)
    return own, logged


def _each(takes: Takes, topic: str, archive: zipfile.ZipFile) -> tuple[list[int], list[int]]:
    own: list[int] = []
    logged: list[int] = []
    for frame in takes.frames(topic):
        name = f"{topic}/{len(own):06}.npy"
        with archive.open(name, "w", force_zip64=True) as member:
            _header(member, frame.values.dtype, frame.values.shape)
            member.write(frame.values.payload)
        own.append(frame.publish_time)
        logged.append(frame.log_time)
    return own, logged


def _header(file: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    descr = np.lib.format.dtype_to_descr(dtype)
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_2_0(file, header)


def _save(file: IO[bytes], values: npt.NDArray[Any]) -> None:
    _header(file, values.dtype, values.shape)
    file.write(values.tobytes())


def _remove(path: str) -> None:
    if os.path.exists(path):
        os.unlink(path)
