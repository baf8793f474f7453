"""The frames of one or several recordings, in the order of their log times."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from .chunk import Damaged, Raw
from .file import ChunkPlace, NotAFile, RecordingFile

__all__ = ["Account", "Source", "recordings_in"]

SUFFIX = ".mcap"
_MOST_NOTES = 20


@dataclass
class Account:
    """What was read, and what could not be.

    Attributes
    ----------
    frames : int
        Frames that were read.
    damaged : int
        Frames that are in the files, but not as they were written.
    torn : int
        Files that end in the middle of a frame.
    notes : list of str
        A line for each place that could not be read; of very many the first ones.
    """

    frames: int = 0
    damaged: int = 0
    torn: int = 0
    notes: list[str] = field(default_factory=list)

    def is_clean(self) -> bool:
        """Tell whether all was read."""
        return not self.notes

    def note(self, line: str) -> None:
        """Note a place; once, however often the files are read."""
        if line in self.notes:
            return
        if len(self.notes) < _MOST_NOTES:
            self.notes.append(line)
        elif len(self.notes) == _MOST_NOTES:
            self.notes.append("and more")


def recordings_in(paths: Sequence[str]) -> list[str]:
    """Return the files of a list of files and folders, a folder's by their names.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or no recording in a folder.
    """
    found: list[str] = []
    for path in paths:
        if not os.path.isdir(path):
            found.append(path)
            continue
        names = sorted(name for name in os.listdir(path) if name.endswith(SUFFIX))
        if not names:
            raise FileNotFoundError(f"no recording ({SUFFIX}) in the folder '{path}'")
        found += [os.path.join(path, name) for name in names]
    return found


class Source:
    """The frames of some files.

    Parameters
    ----------
    paths : sequence of str
        Files and folders of files.

    Raises
    ------
    NotAFile
        If none of them is an MCAP file.
    OSError
        If one cannot be opened.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self.account = Account()
        self.files: list[RecordingFile] = []
        foreign: list[NotAFile] = []
        try:
            for path in recordings_in(paths):
                try:
                    self.files.append(RecordingFile(path))
                except NotAFile as error:
                    foreign.append(error)
            if not self.files:
                raise foreign[0]
        except BaseException:
            self.close()
            raise
        for refused in foreign:
            self.account.note(str(refused))
        for each in self.files:
            for problem in each.problems:
                self.account.note(f"'{each.path}': {problem}")
        chunks = [(place, file) for file in self.files for place in file.chunks]
        # Of equal times in the files' order: sort keeps it.
        self._chunks = sorted(chunks, key=lambda chunk: chunk[0].start)
        self.start = self._chunks[0][0].start if chunks else 0
        self.end = max((place.end for place, _ in chunks), default=0)

    def close(self) -> None:
        """Close the files."""
        for file in self.files:
            file.close()

    def frames(
        self, start: int = 0, end: int | None = None, chosen: Callable[[str], bool] | None = None
    ) -> Iterator[Raw]:
        """Iterate over the messages that were logged from `start` on and before `end`.

        Parameters
        ----------
        start, end : int
            Unix nanoseconds; end None: to the end.
        chosen : callable, optional
            Tells of a topic whether its messages are wanted.
        """
        self.account.frames = self.account.torn = 0
        self.account.damaged = sum(file.damaged for file in self.files)
        waiting: list[tuple[int, int, Raw]] = []
        count = 0
        for place, file in self._chunks:
            while waiting and waiting[0][0] < place.start:
                yield heapq.heappop(waiting)[2]
            if place.end < start or (end is not None and place.start >= end):
                continue
            for raw in self._load(place, file):
                if raw.log_time < start or (end is not None and raw.log_time >= end):
                    continue
                if chosen is None or chosen(raw.channel.topic):
                    count += 1
                    heapq.heappush(waiting, (raw.log_time, count, raw))
        while waiting:
            yield heapq.heappop(waiting)[2]

    def _load(self, place: ChunkPlace, file: RecordingFile) -> list[Raw]:
        account, where = self.account, f"at byte {place.offset}"
        try:
            raws, orphans, is_torn = file.messages(place)
        except Damaged as error:
            account.damaged += error.frames
            account.note(f"'{file.path}': a damaged chunk {where} ({error})")
            return []
        if is_torn:
            account.torn += 1
            account.note(f"'{file.path}': ends with a frame that is not whole")
        if not (orphans or _are_its_times(place, file, raws)):
            account.note(f"'{file.path}': damaged times {where}: some frames may come out of order")
        if orphans:
            account.damaged += orphans
            account.note(f"'{file.path}': frames of a channel whose record is damaged, {where}")
        account.frames += len(raws)
        return raws


def _are_its_times(place: ChunkPlace, file: RecordingFile, raws: list[Raw]) -> bool:
    """Tell whether a chunk has the times by which it is read in turn: they have no checksum."""
    times = [raw.log_time for raw in raws]
    is_cut = place.offset + place.length > file.size
    return is_cut or not times or (min(times), max(times)) == (place.start, place.end)
