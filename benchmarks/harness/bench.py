"""One run: its pairs of processes, which of them take part in a scenario, figures, failures."""

from __future__ import annotations

import glob
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rivals import Rival

from harness import ends
from harness.processes import Failed, Interpreter, Pair, make_label

Figures = dict[str, Any]
LEAST = 2  # blocks that each does, however slow it is


class Bench:
    """A run.

    Parameters
    ----------
    rivals : list of Rival
        Those that are compared.
    short : bool
        Do less of everything.
    interpreters : mapping
        By rival's name: the interpreter for its processes, where it is another one than ours.
    missing : dict
        By rival's name: why it cannot be measured. `start` adds those that cannot be imported.

    Attributes
    ----------
    figures : dict
        By scenario, case, rival: the raw figures.
    failures : dict
        By scenario, case, rival: why there are none.
    """

    def __init__(
        self,
        rivals: list[Rival],
        short: bool,
        interpreters: Mapping[str, Interpreter] | None = None,
        missing: dict[str, str] | None = None,
    ) -> None:
        self.rivals, self.short = rivals, short
        self._interpreters = interpreters or {}
        self.missing = dict(missing or {})
        self.figures: dict[str, dict[str, dict[str, Figures]]] = {}
        self.failures: dict[str, dict[str, dict[str, str]]] = {}
        self.left_out: set[tuple[str, str]] = set()
        self.pairs: dict[str, Pair] = {}
        memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self.root = tempfile.mkdtemp(prefix="ndsbench", dir=memory)
        os.environ["NDSHARRAY_DIR"] = os.path.join(self.root, "ndsharray")
        os.environ["PYSHMEM_LOCK_DIR"] = os.path.join(self.root, "pyshmem")
        os.environ.pop("NDSHARRAY_TRANSPORT", None)

    def start(self) -> None:
        """Start two processes for each rival that can be imported."""
        for number, rival in enumerate(self.rivals):
            if rival.name not in self.missing:
                label = make_label(self.root, number)
                interpreter = self._interpreters.get(rival.name)
                self.pairs[rival.name] = Pair(rival, self.root, label, interpreter)
        for pair in self.pairs.values():  # all at once: an import takes a while
            for each in (pair.writer, pair.reader):
                each.ask("harness.facts:import_rival", {})
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

    def taking_part(self, scenario: str, case: str = "") -> list[Pair]:
        """Return the pairs that can do it."""
        return [
            pair for pair in self.pairs.values() if not {scenario, case} & set(pair.rival.cannot)
        ]

    def leave_out(self, scenario: str, rival: Rival) -> None:
        """Say that the short run does without it."""
        self.left_out.add((scenario, rival.name))

    def note(self, scenario: str, case: str, rival: Rival, **figures: Any) -> None:
        """Keep figures."""
        cases = self.figures.setdefault(scenario, {})
        cases.setdefault(case, {}).setdefault(rival.name, {}).update(figures)

    @contextmanager
    def failing(self, scenario: str, case: str, pair: Pair) -> Iterator[None]:
        """Note a failure inside, instead of ending the run; start the pair again."""
        try:
            yield
        except Failed as error:
            cases = self.failures.setdefault(scenario, {})
            cases.setdefault(case, {})[pair.rival.name] = str(error)
            print(f"  {scenario}, {case}: {pair.rival.name}: {error}", file=sys.stderr)
            pair.restart()

    def alternately(
        self,
        scenario: str,
        case: str,
        pairs: list[Pair],
        block: Callable[[Pair], None],
        blocks: int = 1,
        budget: float = math.inf,
    ) -> list[Pair]:
        """Have the pairs do a block each, again and again; return those that did not fail.

        So a slow moment of the machine, and what each pair leaves in its caches, hits all alike. A
        pair that has used up its budget of seconds does no more: a slow rival needs fewer blocks.
        """
        spent = dict.fromkeys(pairs, 0.0)
        for turn in range(blocks):
            for pair in list(pairs):
                if spent[pair] > budget and turn >= (1 if self.short else LEAST):
                    continue
                begin = time.monotonic()
                with self.failing(scenario, case, pair):
                    block(pair)
                spent[pair] += time.monotonic() - begin
                if self.failed(scenario, case, pair):
                    pairs = [other for other in pairs if other is not pair]
        return pairs

    @contextmanager
    def all_opened(
        self, scenario: str, case: str, pairs: list[Pair], shape: tuple[int, ...], **options: Any
    ) -> Iterator[list[Pair]]:
        """Open both ends of each pair; give those that could; close them at the end."""
        yield self.alternately(
            scenario, case, pairs, lambda pair: ends.open_ends(pair, shape, **options)
        )
        left = [pair for pair in pairs if not self.failed(scenario, case, pair)]
        self.alternately(scenario, case, left, Pair.close)

    def why_not(self, scenario: str, case: str, rival: Rival) -> str | None:
        """Return why there are no figures; None if there are."""
        if rival.name in self.figures.get(scenario, {}).get(case, {}):
            return None
        if rival.name in self.missing:
            return f"not measured: {self.missing[rival.name]}"
        for name in (scenario, case):
            if name in rival.cannot:
                return f"- ({rival.cannot[name]})"
        if (scenario, rival.name) in self.left_out:
            return "- (not in a short run)"
        return f"FAILED: {self.failures.get(scenario, {}).get(case, {}).get(rival.name, '?')}"

    def failed(self, scenario: str, case: str, pair: Pair) -> bool:
        return pair.rival.name in self.failures.get(scenario, {}).get(case, {})
