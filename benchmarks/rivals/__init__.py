"""What is compared: a module for each rival, and the table `RIVALS` that says how each is used.

A module offers a `Writer` and a `Reader`, as `base` describes them. Only the children import these
modules, so the run needs none of the rivals' packages; a rival that is missing is named in the
tables.
"""

from __future__ import annotations

from .base import Rival

_FIXED = "its shape is fixed"
_POLLS = "has no way to wait but to poll"
_NO_FRAME = "carries no frame"
_LIMIT = "a limit, not a way to share arrays"

_MMAP, _POSIX = {"transport": "mmap"}, {"transport": "posix_shm"}
_ONE_ENOUGH = dict.fromkeys("shapes readers many cost start".split(), "as with copies")
_OUT = {**_ONE_ENOUGH, "camera": "as with copies", "trips": "as with copies"}
_ONE_READER = "has one reader"
_ENDS = "ends with its processes"
_BYTES = "sends bytes: a shape would be the program's to send"
_KEEPS = "its readers keep the old memory"

RIVALS = [
    Rival("mmap", "ndsharray", "a copy, in recycled memory", _MMAP, "ndsharray"),
    Rival("posix_shm", "ndsharray", "a copy, in recycled memory", _POSIX, "ndsharray"),
    Rival(
        "mmap in place", "ndsharray", "pins the slot, no copy", {**_MMAP, "copy": False},
        "ndsharray", in_place=True, cannot=_ONE_ENOUGH,
    ),
    Rival(
        "posix_shm in place", "ndsharray", "pins the slot, no copy", {**_POSIX, "copy": False},
        "ndsharray", in_place=True, cannot=_ONE_ENOUGH,
    ),
    Rival(
        "mmap out", "ndsharray", "a copy into the caller's array", {**_MMAP, "out": True},
        "ndsharray", cannot=_OUT,
    ),
    Rival(
        "posix_shm out", "ndsharray", "a copy into the caller's array", {**_POSIX, "out": True},
        "ndsharray", cannot=_OUT,
    ),
    Rival(
        "original", "original", "several copies; read-only", {}, "ndsharray", safe=False,
        original=True, cannot={"trips": _POLLS},
    ),
    Rival(
        "pyshmem", "pyshmem", "a copy, in fresh memory", {}, "pyshmem", cannot={"shapes": _FIXED}
    ),
    Rival(
        "pyshmem out", "pyshmem", "a copy into the caller's array", {"out": True}, "pyshmem",
        cannot={**_OUT, "shapes": _FIXED},
    ),
    Rival(
        "iceoryx2", "iceoryx2", "a copy, in fresh memory; bytes only", {}, "iceoryx2",
        cannot={"shapes": _BYTES},
    ),
    Rival(
        "iceoryx2 in place", "iceoryx2", "the sample's memory, no copy", {"copy": False},
        "iceoryx2", in_place=True, cannot=_ONE_ENOUGH,
    ),
    Rival(
        "zmq", "zmq", "through a socket; a view of the message, read-only", {}, "pyzmq",
        threads=True,
    ),
    Rival(
        "zenoh", "zenoh", "a copy as bytes, read-only; delivered by threads", {}, "eclipse-zenoh",
        threads=True, cannot={"shapes": _BYTES},
    ),
    Rival(
        "pipe", "pipe", "through a pipe; unpickled into fresh memory", concurrent=True,
        channels=100, cannot={"readers": _ONE_READER, "attach": _ENDS, "restart": _ENDS},
    ),
    Rival(
        "queue", "queue", "through a pipe; unpickled; delivered by a thread",
        threads=True, channels=2,
        cannot={
            "readers": _ONE_READER, "attach": _ENDS, "restart": _ENDS, "many": "a thread for each",
        },
    ),
    Rival(
        "floor", "bare", "a copy, in fresh memory, unprotected", {"slots": 1}, safe=False,
        cannot={"shapes": _FIXED, "trips": _POLLS, "restart": _KEEPS},
    ),
    Rival(
        "steps", "steps", "this library's protocol with nothing around it", safe=False,
        cannot=dict.fromkeys(
            "frames shapes trips readers many cost start camera flood".split(), _LIMIT
        ),
    ),
    Rival(
        "copyto", "bare", "a copy into a buffer, unprotected", {"slots": 3}, safe=False,
        cannot=dict.fromkeys("small shapes trips readers many cost start camera".split(), _LIMIT),
    ),
    Rival(
        "futex", "futex", "a word, no frame", safe=False,
        cannot=dict.fromkeys(
            "small frames shapes readers many cost start camera flood".split(), _NO_FRAME
        ),
    ),
]  # fmt: skip

__all__ = ["RIVALS", "Rival"]
