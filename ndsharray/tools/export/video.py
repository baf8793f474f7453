"""Recordings as video, by ffmpeg: the program on the PATH, or the one of imageio-ffmpeg."""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import subprocess

from ..common import ToolError
from ..recording.messages import picture_of
from .takes import Layout, Takes, file_names, stem_of

__all__ = ["to_mp4"]

_USAGE = 2
_DEFAULT_FPS = 30.0  # of a single frame
_PIXELS = {
    "mono8": "gray",
    "mono16": "gray16le",
    "rgb8": "rgb24",
    "bgr8": "bgr24",
    "rgba8": "rgba",
    "bgra8": "bgra",
}
_QUIET = ["-hide_banner", "-loglevel", "error", "-nostdin"]
# yuv420p, which every player shows, has an even width and height.
_EVEN = ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p"]


def to_mp4(takes: Takes, options: argparse.Namespace) -> list[tuple[str, int]]:
    """Write a video for each array of pictures.

    Raises
    ------
    ToolError
        If there is no ffmpeg, or it fails.
    ValueError
        If an array holds no pictures, or changes its shape.
    """
    ffmpeg = _ffmpeg()
    videos: dict[str, tuple[Layout, str]] = {}
    for topic, layouts in takes.layouts.items():
        layout = next(iter(layouts))
        if options.encoding:
            encoding = picture_of(*layout, options.encoding)
        else:
            encoding = takes.encodings.get(topic) or picture_of(*layout)
        if len(layouts) > 1 or encoding not in _PIXELS:
            why = "changes its shape" if len(layouts) > 1 else "holds no pictures for a video"
            raise ValueError(f"{topic!r} {why}: choose others with --only, or --to npz")
        videos[topic] = (layout, _PIXELS[encoding])
    folder = options.output or stem_of(options.paths[0])
    os.makedirs(folder, exist_ok=True)
    written = []
    names = file_names(videos)
    for topic, (layout, pixels) in videos.items():
        path = os.path.join(folder, names[topic] + ".mp4")
        if os.path.exists(path) and not options.force:
            raise FileExistsError(17, "is there already", path)
        fps = options.fps or _fps(takes, topic)
        height, width = layout[1][:2]
        source = ["-f", "rawvideo", "-pix_fmt", pixels, "-s", f"{width}x{height}", "-r", f"{fps:g}"]
        command = [ffmpeg, *_QUIET, "-y", *source, "-i", "-", *_EVEN, path]
        _encode(takes, topic, command)
        written.append((path, takes.layouts[topic][layout]))
    return written


def _ffmpeg() -> str:
    found = shutil.which("ffmpeg")
    if found:
        return found
    try:
        path: str = importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe()
        return path
    except (ImportError, RuntimeError):
        raise ToolError(
            "--to mp4 needs ffmpeg: install it, or pip install imageio-ffmpeg", _USAGE
        ) from None


def _fps(takes: Takes, topic: str) -> float:
    first, last = takes.times[topic]
    count = sum(takes.layouts[topic].values())
    return (count - 1) * 1e9 / (last - first) if last > first else _DEFAULT_FPS


def _encode(takes: Takes, topic: str, command: list[str]) -> None:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        try:
            for frame in takes.frames([topic]):
                process.stdin.write(frame.values.payload)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it says why
        problem = process.stderr.read().decode(errors="replace").strip()
    if process.returncode:
        raise ToolError(f"ffmpeg: {problem.splitlines()[-1] if problem else 'failed'}", 3)
