"""Recordings as video, by ffmpeg: the program on the PATH, or the one of imageio-ffmpeg."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import shutil
import tempfile
from contextlib import ExitStack, suppress
from subprocess import PIPE, Popen

from ..common import ToolError
from ..common.pipes import has_no_reader
from ..recording.messages import picture_of
from .takes import Layout, Takes, file_names, stem_of

__all__ = ["to_mp4"]

_USAGE, _LOST = 2, 3
_AT_ONCE = 4  # videos that are encoded at once: of 4K, each takes some 100 MB or more
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
    paths = {t: os.path.join(folder, f"{name}.mp4") for t, name in file_names(videos).items()}
    for path in paths.values():
        if os.path.exists(path) and not options.force:
            raise FileExistsError(errno.EEXIST, "is there already", path)
    encoders = []
    for topic, (layout, pixels) in videos.items():
        fps = options.fps or _fps(takes, topic)
        height, width = layout[1][:2]
        source = ["-f", "rawvideo", "-pix_fmt", pixels, "-s", f"{width}x{height}", "-r", f"{fps:g}"]
        command = [ffmpeg, *_QUIET, "-y", *source, "-i", "-", *_EVEN, "-f", "mp4"]
        encoders.append(_Encoder(topic, command, paths[topic]))
    for first in range(0, len(encoders), _AT_ONCE):
        _encode(takes, encoders[first : first + _AT_ONCE])
    return [(paths[topic], takes.layouts[topic][layout]) for topic, (layout, _) in videos.items()]


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


def _encode(takes: Takes, encoders: list[_Encoder]) -> None:
    """Write some videos, in one pass over the recording."""
    by_topic = {encoder.topic: encoder for encoder in encoders}
    with ExitStack() as stack:
        for encoder in encoders:
            stack.enter_context(encoder)
        for frame in takes.frames(by_topic):
            by_topic[frame.topic].write(frame.values.payload)
        for encoder in encoders:
            encoder.finish()


class _Encoder:
    """An ffmpeg that writes the video of one array; the file is there when it is whole.

    Parameters
    ----------
    topic : str
        The array's name.
    command : list of str
        The command line, without the file that it writes.
    path : str
        The video.
    """

    def __init__(self, topic: str, command: list[str], path: str) -> None:
        self.topic, self._path, self._part = topic, path, f"{path}.{os.getpid()}.part"
        self._command = [*command, self._part]

    def __enter__(self) -> None:
        self._said = tempfile.TemporaryFile()  # a pipe that nobody reads would fill up
        self._process = Popen(self._command, stdin=PIPE, stderr=self._said)
        assert self._process.stdin is not None
        self._frames = self._process.stdin

    def write(self, payload: memoryview) -> None:
        """Add a frame."""
        try:
            self._frames.write(payload)
        except OSError as error:
            if not has_no_reader(error):
                raise
            self.finish()  # it says why
            raise ToolError("ffmpeg: it ended before the frames did", _LOST) from None

    def finish(self) -> None:
        """End the video.

        Raises
        ------
        ToolError
            If ffmpeg has failed.
        """
        self._close_pipe()
        if self._process.wait():
            self._said.seek(0)
            lines = self._said.read().decode(errors="replace").split("\n")
            said = [line for line in lines if line.strip()]
            raise ToolError(f"ffmpeg: {said[-1] if said else 'failed'}", _LOST)
        os.replace(self._part, self._path)

    def _close_pipe(self) -> None:
        try:
            self._frames.close()
        except OSError as error:  # of what was not written yet
            if not has_no_reader(error):
                raise

    def __exit__(self, *_: object) -> None:
        self._process.kill()  # harmless when it has ended
        self._close_pipe()
        self._process.wait()
        self._said.close()
        with suppress(FileNotFoundError):
            os.unlink(self._part)
