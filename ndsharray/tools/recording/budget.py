"""The bound on the memory in which frames wait between two threads."""

from __future__ import annotations

import threading

__all__ = ["Budget"]


class Budget:
    """Counts the bytes of frames that one thread has read and another one has not used yet.

    A frame is read when there is room, whatever its size turns out to be: at most one frame of each
    array is beyond the limit.

    Attributes
    ----------
    limit, used, peak : int
        Bytes: how much may wait, how much waits, how much has waited at most.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.used, self.peak = limit, 0, 0
        self._changed = threading.Condition()

    @property
    def is_half_used(self) -> bool:
        """Whether half of the limit waits."""
        return self.used > self.limit // 2

    def wait_for_room(self, timeout: float) -> bool:
        """Wait until less than the limit waits, for `timeout` seconds at most."""
        if self.used < self.limit:
            return True
        with self._changed:
            return self._changed.wait_for(lambda: self.used < self.limit, timeout)

    def take(self, size: int) -> None:
        """Count a frame that begins to wait."""
        with self._changed:
            self.used += size
            self.peak = max(self.peak, self.used)

    def release(self, size: int) -> None:
        """Count a frame that does not wait any more."""
        with self._changed:
            self.used -= size
            self._changed.notify_all()
