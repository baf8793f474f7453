"""Making sets of several arrays: collect, choose, hold, hand out; and telling why there is none.

A frame is held (its slot pinned) as soon as the policy knows that it is the one for the next set;
so it cannot be overwritten while the others are waited for, and is copied only once all are there.

Not here: waiting, calls that exclude each other (``read_set``).
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Sequence
from typing import Any

from .._protocol.format import MAX_SLOTS
from .._registry.mismatch import level_of_caller
from .._system import clock
from .._system.fork import SIDES, detach_in_child
from .matching import Choice, Exact, Latest, Nearest, Policy
from .member import Member, WallClock
from .tracks import Frame

__all__ = ["POLICIES", "Joiner"]

POLICIES = {"nearest": Nearest, "exact": Exact, "latest": Latest}


class Joiner:
    """Makes sets.

    Parameters
    ----------
    members : sequence of Member
        The arrays.
    policy : Policy
        Of the members' tracks.
    wall : WallClock
        That of the members.

    Attributes
    ----------
    lock : RLock
        Held during a call of the set.
    again : int or None
        The moment from which on there may be a set even if no frame comes; after `next`.
    ended : str or None
        The array that was closed, so that there are no further sets; after `next`.
    """

    def __init__(self, members: Sequence[Member], policy: Policy, wall: WallClock) -> None:
        self.members = members
        self.policy = policy
        self._wall = wall
        self.again: int | None = None
        self.ended: str | None = None
        self._ready: Choice | None = None  # the set that is being returned
        self._warned: set[str] = set()
        self.lock: Any = threading.RLock()
        detach_in_child(SIDES, self)

    def next(self) -> list[Frame] | None:
        """Return the frames of the next set, all held, in the members' order; None: not yet.

        They are returned again until `done` is called: an exception in between loses no set.
        """
        self._wall.look()
        for member in self.members:
            member.collect()
        choice = self._choose()
        self.again, self.ended = choice.again, None
        if choice.ready:
            self._ready = choice
            return [frame for frame in choice.frames if frame is not None]
        if choice.again is None:
            ended = self.policy.ended()
            self.ended = None if ended is None else self.members[ended].name
        if isinstance(self.policy, Nearest):
            self._warn()
        return None

    def _choose(self) -> Choice:
        """Return what is known of the next set, with all that is known of it held."""
        while True:
            choice = self.policy.choose(clock.now_ns())
            pairs = zip(self.members, choice.frames, strict=True)
            # guard: chosen-frames-held-at-once
            if all(member.hold(frame) for member, frame in pairs):
                return choice

    def done(self) -> None:
        """Count the last set, and hold its frames no longer, but for a policy that repeats them."""
        ready, self._ready = self._ready, None
        assert ready is not None
        self.policy.take(ready)
        if not self.policy.repeats:
            for member in self.members:
                member.hold(None)

    def close(self) -> None:
        """Drop all frames."""
        self._ready = None
        for member in self.members:
            member.hold(None)
            member.track.clear()

    def detach(self) -> None:
        """In a forked child: hold no frame, as the pins are the parent's."""
        if not self.lock._is_owned():  # a thread of the parent may hold it
            self.lock = threading.RLock()
        for member in self.members:
            member.hold(None)  # guard: held-frames-dropped-in-a-child

    def _warn(self) -> None:
        """Warn of slots that reach back less than the tolerance."""
        for member in self.members:
            reach = None if member.name in self._warned else member.reach()
            if reach is None or not 0 < reach[1] < self.policy.tolerance:
                continue
            self._warned.add(member.name)
            slots, back = reach
            needed = math.ceil(self.policy.tolerance / back * slots) + 2
            advice = f"make its writer with slots={needed} or more"
            if needed > MAX_SLOTS:
                advice = "choose a smaller tolerance, as no writer has so many slots"
            warnings.warn(
                f"the {slots} slots of {member.name!r} reach back {back / 1e6:.1f} ms, less than "
                f"the tolerance of {self.policy.tolerance / 1e6:.1f} ms: frames get lost before "
                f"they are matched; {advice}",
                RuntimeWarning,
                stacklevel=level_of_caller(),
            )

    def fault(self, began: int, timeout: float) -> str:
        """Return why no set came in `timeout` seconds, since `began`, naming the array at fault."""
        seconds = f"{timeout:.1f}" if timeout >= 0.1 else f"{timeout:.2g}"
        silent = [
            f"{member.name!r} for {seconds} s (writer {member.state()})"
            for member in self.members
            if member.track.newest is None or member.track.newest.seen < began
        ]
        if silent:
            return f"no frame of {', of '.join(silent)}"
        lost = "".join(
            f"; {m.track.missing} frames of {m.name!r} were overwritten before they could be used"
            for m in self.members
            if m.track.missing
        )
        return f"no set for {seconds} s: {self._mismatch()}{lost}"

    def _mismatch(self) -> str:
        if isinstance(self.policy, Exact):
            return "no frames of all arrays have equal stamps, or equal numbers"
        pivot = self.policy.pivot if isinstance(self.policy, Nearest) else 0
        others = (m for m in self.members if m is not self.members[pivot])
        member = max(others, key=lambda m: abs(self._lag(m, pivot)), default=None)
        if member is None:
            return "no frame could be used"
        lag = self._lag(member, pivot)
        return (
            f"the newest frame of {member.name!r} is {abs(lag) / 1e6:.1f} ms "
            f"{'before' if lag < 0 else 'after'} that of {self.members[pivot].name!r}"
        )

    def _lag(self, member: Member, pivot: int) -> int:
        newest, other = member.track.newest, self.members[pivot].track.newest
        return 0 if newest is None or other is None else newest.time - other.time

    @property
    def pivot(self) -> str | None:
        """The array whose frames the others are matched with; None: not known, or no such policy.

        One that the user did not choose is known once two of its frames were seen.
        """
        policy = self.policy
        if not isinstance(policy, Nearest) or not policy.is_pivot_known:
            return None
        return self.members[policy.pivot].name
