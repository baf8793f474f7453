"""The last seconds, kept in memory until somebody wants them in a file."""

from __future__ import annotations

from collections import deque

from ..recording.budget import Budget
from ..recording.messages import Message

__all__ = ["Ring"]

_SHARE = 0.75  # of the memory; the rest is for what comes while a file is written


class Ring:
    """The frames of the last seconds, fewer where they do not fit into the memory.

    Parameters
    ----------
    seconds : float
        How long a frame is kept.
    budget : Budget
        The memory, whose frames it releases.
    """

    def __init__(self, seconds: float, budget: Budget) -> None:
        self._seconds, self._budget = seconds, budget
        self._messages: deque[Message] = deque()
        self._nbytes = 0

    def put(self, message: Message) -> None:
        """Keep a frame, and let the oldest ones go."""
        self._messages.append(message)
        self._nbytes += message.nbytes
        since = message.log_time - int(self._seconds * 1e9)
        most = int(self._budget.limit * _SHARE)
        while self._messages and (self._messages[0].log_time < since or self._nbytes > most):
            old = self._messages.popleft()
            self._nbytes -= old.nbytes
            self._budget.release(old.nbytes)

    @property
    def seconds(self) -> float:
        """How many seconds it holds now."""
        if not self._messages:
            return 0.0
        return (self._messages[-1].log_time - self._messages[0].log_time) / 1e9

    def messages(self) -> list[Message]:
        """Return what it holds, the oldest first."""
        return list(self._messages)
