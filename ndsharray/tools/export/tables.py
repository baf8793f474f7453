"""Recordings as numpy's files, frame by frame: memory holds one at a time."""

from __future__ import annotations

import argparse
import os
import zipfile
from contextlib import ExitStack
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from .takes import TIMES, Layout, Takes, file_names, stem_of

__all__ = ["to_npy", "to_npz"]

_OPEN = 100  # files that are written at once; systems allow some hundreds
Written = list[tuple[str, int]]


def to_npz(takes: Takes, options: argparse.Namespace) -> Written:
    """Write one file: an array for each name, its frames along a new first axis, and their times.

    An array whose shape or dtype changes has a member for each frame: ``camera/000000``.

    Raises
    ------
    ValueError
        If the output is a folder.
    """
    path = _npz_path(options)
    count = 0
    archive = zipfile.ZipFile(path, "w" if options.force else "x", allowZip64=True)
    try:
        with archive:
            for topic, layouts in takes.layouts.items():
                key = _free_key(topic.replace("\0", "_"), archive)
                if len(layouts) == 1:
                    layout = next(iter(layouts))
                    with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
                        times = _stack(takes, topic, layout, layouts[layout], member)
                else:
                    times = _each(takes, topic, key, archive)
                for name, values in zip(("time_ns", "log_time_ns"), times):
                    with archive.open(f"{key}.{name}.npy", "w") as member:
                        _save(member, np.array(values, np.int64))
                count += len(times[0])
    except BaseException:
        _remove(path)
        raise
    return [(path, count)]


def _npz_path(options: argparse.Namespace) -> str:
    """Return the path of the file, which ends in ``.npz`` as it does by ``numpy.savez``."""
    path: str = options.output or stem_of(options.paths[0])
    if options.output and os.path.isdir(path):
        raise ValueError(f"'{path}' is a folder: with --to npz, -o names the file")
    return path if path.endswith(".npz") else path + ".npz"


def _free_key(key: str, archive: zipfile.ZipFile) -> str:
    """Return a name, or one like it, whose members no other array has."""
    taken, free, count = set(archive.namelist()), key, 1
    ends = ("", TIMES, ".log_time_ns", "/000000")
    while any(f"{free}{end}.npy" in taken for end in ends):
        count += 1
        free = f"{key}-{count}"
    return free


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
    names = file_names(takes.layouts)
    paths = {topic: os.path.join(folder, name + ".npy") for topic, name in names.items()}
    topics = list(paths)
    made: list[str] = []
    try:
        for first in range(0, len(topics), _OPEN):
            some = {topic: paths[topic] for topic in topics[first : first + _OPEN]}
            _write_some(takes, some, "wb" if options.force else "xb", made)
    except BaseException:
        for path in made:
            _remove(path)
        raise
    return [(path, sum(takes.layouts[topic].values())) for topic, path in paths.items()]


def _write_some(takes: Takes, paths: dict[str, str], mode: str, made: list[str]) -> None:
    """Write the files of some arrays, in one pass over the recording."""
    own: dict[str, list[int]] = {topic: [] for topic in paths}
    with ExitStack() as stack:
        files: dict[str, IO[bytes]] = {}
        for topic, path in paths.items():
            files[topic] = stack.enter_context(open(path, mode))
            made.append(path)
            ((dtype, shape), count), *_ = takes.layouts[topic].items()
            _header(files[topic], dtype, (count, *shape))
        for frame in takes.frames(paths):
            files[frame.topic].write(frame.values.payload)
            own[frame.topic].append(frame.publish_time)
    for topic, path in paths.items():
        stamps = f"{path.removesuffix('.npy')}{TIMES}.npy"
        with open(stamps, mode) as file:
            made.append(stamps)
            _save(file, np.array(own[topic], np.int64))


def _stack(
    takes: Takes, topic: str, layout: Layout, count: int, file: IO[bytes]
) -> tuple[list[int], list[int]]:
    """Write all frames of an array as one; return their times: their own, and of the write."""
    dtype, shape = layout
    _header(file, dtype, (count, *shape))
    own, logged = [], []
    for frame in takes.frames([topic]):
        file.write(frame.values.payload)
        own.append(frame.publish_time)
        logged.append(frame.log_time)
    return own, logged


def _each(
    takes: Takes, topic: str, key: str, archive: zipfile.ZipFile
) -> tuple[list[int], list[int]]:
    own: list[int] = []
    logged: list[int] = []
    for frame in takes.frames([topic]):
        name = f"{key}/{len(own):06}.npy"
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
