"""One run: its pairs of processes, who takes part in which work, figures and failures."""

from __future__ import annotations

import glob
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import meet
from launch import Failed, Pair, make_label
from rivals import RIVALS, Rival

Figures = dict[str, Any]
LEAST = 2  # blocks that each does, however slow it is


class Bench:
    """A run.

    Parameters
    ----------
    names : list of str
        The rivals; empty: all.
    quick : bool
        Do less of everything.
    original : str or None
        An interpreter with the original package.

    Attributes
    ----------
    figures : dict
        By work, case, rival: the raw figures.
    failures : dict
        By work, case, rival: why there are none.
    """

    def __init__(self, names: list[str], quick: bool, original: str | None = None) -> None:
        self.quick, self._original = quick, original
        self.figures: dict[str, dict[str, dict[str, Figures]]] = {}
        self.failures: dict[str, dict[str, dict[str, str]]] = {}
        self.missing: dict[str, str] = {}
        self.left_out: set[tuple[str, str]] = set()
        self.rivals = [rival for rival in RIVALS if not names or rival.name in names]
        self.pairs: dict[str, Pair] = {}
        memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self.root = tempfile.mkdtemp(prefix="ndsbench", dir=memory)
        os.environ["NDSHARRAY_DIR"] = os.path.join(self.root, "ndsharray")
        os.environ["PYSHMEM_LOCK_DIR"] = os.path.join(self.root, "pyshmem")
        os.environ.pop("NDSHARRAY_TRANSPORT", None)

    def start(self) -> None:
        """Start two processes for each rival that can be imported."""
        for number, rival in enumerate(self.rivals):
            if rival.original and self._original is None:
                self.missing[rival.name] = "no interpreter that has it"
                continue
            python = self._original if rival.original else None
            pair = Pair(rival, self.root, make_label(self.root, number), python)
            self.pairs[rival.name] = pair
        for pair in self.pairs.values():  # all at once: an import takes a while
            for each in (pair.writer, pair.reader):
                each.ask("facts:import_rival", {})
        for name, pair in list(self.pairs.items()):
            try:
                for each in (pair.writer, pair.reader):
                    each.result()
            except Failed as error:
                self.missing[name] = str(error)
                self.pairs.pop(name).stop()

    def stop(self) -> None:
        """End all processes and remove what they left."""
        for pair in self.pairs.values():
            pair.stop()
        shutil.rmtree(self.root, ignore_errors=True)
        for file in glob.glob(self.root + "*"):  # iceoryx2 keeps one for all processes of a root
            os.unlink(file)

    def taking_part(self, work: str, case: str = "") -> list[Pair]:
        """Return the pairs whose rivals can do it."""
        return [pair for pair in self.pairs.values() if not {work, case} & set(pair.rival.cannot)]

    def leave_out(self, work: str, rival: Rival) -> None:
        """Say that the quick run does without it."""
        self.left_out.add((work, rival.name))

    def note(self, work: str, case: str, rival: Rival, **figures: Any) -> None:
        """Keep figures."""
        self.figures.setdefault(work, {}).setdefault(case, {}).setdefault(rival.name, {}).update(
            figures
        )

    @contextmanager
    def failing(self, work: str, case: str, pair: Pair) -> Iterator[None]:
        """Note a failure inside, instead of ending the run; start the pair again."""
        try:
            yield
        except Failed as error:
            self.failures.setdefault(work, {}).setdefault(case, {})[pair.rival.name] = str(error)
            print(f"  {work}, {case}: {pair.rival.name}: {error}", file=sys.stderr)
            pair.restart()

    def in_turns(
        self,
        work: str,
        case: str,
        pairs: list[Pair],
        block: Callable[[Pair], None],
        blocks: int = 1,
        budget: float = math.inf,
    ) -> list[Pair]:
        """Have the pairs do a block each, again and again; return those that did not fail.

        So a slow moment of the machine, and what each leaves in its caches, hits all alike. Who has
        used up its budget of seconds does no more: a slow rival does not need as many.
        """
        spent = dict.fromkeys(pairs, 0.0)
        for turn in range(blocks):
            for pair in list(pairs):
                if spent[pair] > budget and turn >= (1 if self.quick else LEAST):
                    continue
                begin = time.monotonic()
                with self.failing(work, case, pair):
                    block(pair)
                spent[pair] += time.monotonic() - begin
                if self.failed(work, case, pair):
                    pairs = [other for other in pairs if other is not pair]
        return pairs

    @contextmanager
    def all_opened(
        self, work: str, case: str, pairs: list[Pair], shape: tuple[int, ...], **options: Any
    ) -> Iterator[list[Pair]]:
        """Open both ends of each pair; give those that could; close them at the end."""
        yield self.in_turns(work, case, pairs, lambda pair: meet.open_ends(pair, shape, **options))
        left = [pair for pair in pairs if not self.failed(work, case, pair)]
        self.in_turns(work, case, left, Pair.close)

    def why_not(self, work: str, case: str, rival: Rival) -> str | None:
        """Return why there are no figures; None if there are."""
        if rival.name in self.figures.get(work, {}).get(case, {}):
            return None
        if rival.name in self.missing:
            return f"not measured: {self.missing[rival.name]}"
        for name in (work, case):
            if name in rival.cannot:
                return f"- ({rival.cannot[name]})"
        if (work, rival.name) in self.left_out:
            return "- (not in a quick run)"
        return f"FAILED: {self.failures.get(work, {}).get(case, {}).get(rival.name, '?')}"

    def failed(self, work: str, case: str, pair: Pair) -> bool:
        return pair.rival.name in self.failures.get(work, {}).get(case, {})
