"""A damaged control segment that keeps its name while mapped (Windows): a writer overwrites it."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from ndsharray import NdShArray
from ndsharray._protocol import format
from ndsharray._protocol.memory import Memory
from ndsharray._registry.names import address_of
from ndsharray.backends import resolve


def refuse(_: Any, name: str) -> bool:
    raise PermissionError(13, "mapped", name)  # as Windows does


@pytest.mark.parametrize(("has_read", "size"), [(False, 3), (True, 3), (True, 5000)])
def test_to_a_reader_it_is_another_array(
    name: str, transport: str, has_read: bool, size: int, console: Any, monkeypatch: Any
) -> None:
    address = address_of(resolve(transport), name)
    child = console()
    child.run(f"w = NdShArray({name!r}, r_w='w', transport={transport!r})")
    child.run("for value in (-1, -2, -3): w.write(np.full(3, value))")
    with NdShArray(name, r_w="r", transport=transport) as reader:
        if has_read:
            assert reader.read()[1].tolist() == [-3] * 3
        child.kill()
        words = Memory(address.transport.open(address.control_name, writable=True).buf).words
        left = address.frames(words[format.INSTANCE_WORD], words[format.NEXT_WORD])
        words[format.STATE_WORD] = 77
        del words
        with monkeypatch.context() as patch:
            patch.setattr(type(address.transport), "unlink", refuse)
            writer = NdShArray(name, r_w="w", transport=transport)
        for value in range(5):  # before the reader looks up the name, it may find nothing
            writer.write(np.full(size, value))
            valid, frame = reader.read()
            assert not valid or (frame == value).all()
        reader._reader._source.finder._looked = 0  # type: ignore[union-attr]
        for value in range(5, 10):
            writer.write(np.full(size, value))
            assert reader.read()[1].tolist() == [value] * size
        writer.close()
    if os.name == "posix":
        address.transport.unlink(left)
