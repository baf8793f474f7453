"""The order of loads, stores and fences: the one place that decides it.

What may live here: the steps of writing and of reading, each callable by itself, so that a
test interleaves a writer and a reader by hand. Not here: how payload and header get into a slot
or out of it, which segment is which, when to try again; no file, process or clock. It has some 520
lines because both sides, and why they fit, belong on one page.

**One slot**, `p` being a position and F a fence (``..`` stands for header and payload)::

    writer:  seq = 2p-1 -W1-> look at pins -W4-> store .. -W2-> seq = 2p   newest = 2p|copy -W3->
    copier:  load newest   seq == 2p? -R1-> load .. -R2-> seq == 2p?
    looker:  load newest   pin = slot+1 -R3-> seq == 2p? -R1-> load .. -R5-> pin = 0

`p` is the position: every slot that the writer takes counts, also those that it then passes by, so
a position occurs in one slot of one segment only. Frames are numbered apart from that. Nothing
orders ``seq = 2p`` and newest: a reader that sees newest first misses ``2p``, and tries again.

Why a copy is whole: if it took one byte that was stored for a later position, then W1 (seq before
payload) with R2 (payload before seq) makes the second look at seq see that position's ``2p-1``. If
it took one byte from before ``2p``, then W2 with R1 makes the first look miss ``2p``.

Why a pinned slot stays: the looker stores its pin and then loads seq (R3), the writer stores seq
and then loads the pins (W1). Whichever comes first, at least one of them sees the other: the writer
restores seq (its payload is untouched, so no fence is needed) and passes by, or the looker gives
up. W4 keeps the payload's stores behind that look, R5 the last loads before the unpin: partners.
While the pin stands, no second look at seq is needed. A reader has four pins in an *entry* of its
own; without one it copies, and the promise is the same. A writer that finds no free slot first
clears the entries of readers that died (it can take their lock files), then grows. It never waits.
Pins name no segment: in a new one, the first slot is taken without a look at them, as nobody
follows it.

**The segment**: newest names a table copy, and the writer changes only the other one. A reader
loads newest, R6, the copy, R7, newest again: unchanged means that the copy was not written
meanwhile, for that needs another newest first (W2 orders the copy before the newest that
names it, W3 orders a newest before the next change of the other copy).

**In order**: whoever wants every frame looks through the seqs of all slots for the oldest that it
has not had (positions have gaps), up to newest. R8, newest before those seqs, pairs with W3, a
newest before the next write: each frame up to newest is found stable, or was overwritten. R9,
"closed" before the last newest, pairs with W3 as well: nothing that was published before the end is
missed; and with W5: the number of the last frame stands there before "closed".

**Waiting**::

    writer:   newest = 2p|copy -W3-> any waiting byte set? wake all
    waiter:   waiting = 1      -R4-> newest still the one last seen? sleep, while it is

Each stores one and then loads the other's: at least one of them sees the other. Was the waiter
just about to sleep, the system compares the word once more in one step with going to sleep.

**An entry** is claimed by storing its owner: R10 keeps that store before the last look at the path
of the lock file. A lock file that others remove is gone either before that look, or after the
owner could be seen: whoever then makes a lock file of the same path finds the owner. R11 keeps
the last stores to the entry before the one that frees it. Both pair with system calls: removing,
making a file.

**A control segment** is stored whole before its ready word (W0), and read after it (R0).

On x86 only the order of a store before a later load needs an instruction: W1, W3, R3, R4, R10. The
others are kept by the processor, and `Fences.order` is None. The order was tried by exhaustive
search, with and without each fence, under sequential consistency, store buffers and weak memory.
"""

from __future__ import annotations

from .format import CLOSED, LAST_FRAME_WORD, OWNERS_WORD, READY_WORD, STATE_WORD
from .memory import Fences, Memory, make_fence

__all__ = ["clear_owner", "is_ready", "set_closed", "set_owner", "set_ready"]


def set_ready(control: Memory, fences: Fences) -> None:
    """Say that a control segment is whole."""
    if fences.order is not None:
        fences.order("W0")  # all of it before ready; pairs with R0
    control.words[READY_WORD] = 1


def is_ready(control: Memory, fences: Fences) -> bool:
    """Tell whether a control segment is whole; what is loaded afterwards is from after that."""
    ready: int = control.words[READY_WORD]
    if fences.order is not None:
        fences.order("R0")  # ready before all of it; pairs with W0
    return ready == 1


def set_closed(control: Memory, frame: int) -> None:
    """Say that the array ends with frame number `frame`."""
    control.words[LAST_FRAME_WORD] = frame
    make_fence()("W5")  # the last frame's number before "closed"; R9
    control.words[STATE_WORD] = CLOSED


def set_owner(control: Memory, entry: int, owner: int) -> None:
    """Say whose an entry is; what is done afterwards comes after it for everybody."""
    control.words[OWNERS_WORD + entry] = owner
    # The owner before the look at the lock file's path; a cleaner's removal, and then the load of
    # the owner by whoever makes a new file (system calls order those).
    make_fence()("R10")


def clear_owner(control: Memory, entry: int) -> None:
    """Say that an entry is free, after all that was stored there."""
    # Pins and waiting before "free"; the next owner's load of it, and then its own pins (it makes
    # or locks a file in between).
    make_fence()("R11")
    control.words[OWNERS_WORD + entry] = 0
