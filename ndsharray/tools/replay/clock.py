"""The one clock of a replay: when a frame is due, at which rate, pauses left out."""

from __future__ import annotations

import time

__all__ = ["PlayClock"]


class PlayClock:
    """Turns log times into times to wait for.

    Parameters
    ----------
    rate : float
        Seconds of the recording in a second; infinite: everything is due at once.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._log_time = 0  # which is due at _origin
        self._origin = 0.0
        self._paused_at: float | None = None

    def begin(self, log_time: int) -> None:
        """Make a frame due now, and all others by their distance from it."""
        self._log_time = log_time
        self._origin = time.monotonic()
        if self._paused_at is not None:
            self._paused_at = self._origin

    def left(self, log_time: int) -> float:
        """Return the seconds until a frame is due; negative: it is late."""
        now = self._paused_at if self._paused_at is not None else time.monotonic()
        return self._origin + (log_time - self._log_time) / 1e9 / self.rate - now

    def slip(self, seconds: float) -> None:
        """Make everything due later."""
        self._origin += seconds

    @property
    def is_paused(self) -> bool:
        """Whether it stands still."""
        return self._paused_at is not None

    def pause(self) -> None:
        """Stand still."""
        if self._paused_at is None:
            self._paused_at = time.monotonic()

    def resume(self) -> None:
        """Go on where it stood still."""
        if self._paused_at is not None:
            self._origin += time.monotonic() - self._paused_at
            self._paused_at = None
