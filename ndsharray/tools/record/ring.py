"""The last seconds, kept in memory until somebody wants them in a file."""

from __future__ import annotations

from collections import Counter, deque

from ..recording.budget import Budget
from ..recording.messages import Message
from .intake import Event

__all__ = ["Ring"]

_MOST_EVENTS = 1000
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
        self._events: deque[Event] = deque(maxlen=_MOST_EVENTS)
        self._nbytes = 0

    def put(self, item: Message | Event) -> None:
        """Keep a frame or an event, and let the oldest ones go."""
        if isinstance(item, Event):
            self._events.append(item)
        else:
            self._keep(item)

    def _keep(self, message: Message) -> None:
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

    def items(self) -> list[Message | Event]:
        """Return what it holds, the oldest first; no events from before its frames."""
        since = self._messages[0].log_time if self._messages else 0
        events = [event for event in self._events if event.time_ns >= since]
        return sorted([*self._messages, *events], key=_time_of)

    def losses(self) -> Counter[str]:
        """Return how many frames of each topic are missing between those that it holds."""
        lost: Counter[str] = Counter()
        last: dict[str, int] = {}
        for message in self._messages:
            gap = message.sequence - last.get(message.topic, message.sequence) - 1
            lost[message.topic] += max(gap, 0)  # another writer begins at 1 again
            last[message.topic] = message.sequence
        return lost


def _time_of(item: Message | Event) -> int:
    return item.time_ns if isinstance(item, Event) else item.log_time
