"""The order of loads, stores and fences: what each fence is for, and the steps of both sides.

What may live here: the argument, and the steps that belong to neither side alone. The writer's
steps are in ``writing``, a reader's in ``reading``, each callable by itself, so that a test
interleaves a writer and a reader by hand. Not here: how payload and header get into a slot or out
of it, which segment is which, when to try again; no file, process or clock. ``docs/protocol.md``
tells the same with drawings, and says what a model checker showed.

**One slot**, `p` being a position (``..`` stands for header and payload)::

    writer:    seq = 2p-1 -W1-> look at pins -W4-> store .. -W2-> seq = 2p   newest = 2p|index -W3->
    copying:   load newest   seq == 2p? -R1-> load .. -R2-> seq == 2p?
    in place:  load newest   pin = slot+1 -R3-> seq == 2p? -R1-> load .. -R5-> pin = 0

Each slot that the writer begins gets the next position, also a slot that the writer then passes
by, so a position occurs in one slot of one segment only. Nothing orders ``seq = 2p`` and newest: a
reader that sees newest first does not find ``2p``, and tries again.

Why a copy is whole: if it contains a byte that was stored for a later position, then W1 (seq before
payload) with R2 (payload before seq) makes the second look at seq see that position's ``2p-1``. If
it contains a byte from before ``2p``, then W2 with R1 makes the first look miss ``2p``.

Why a pinned slot stays (a pin is a hazard pointer): the reader stores its pin and then loads seq
(R3), the writer stores seq and then loads the pins (W1). Whichever comes first, at least one of
them sees the other: the writer restores seq (its payload is untouched, so no fence is needed) and
passes the slot by, or the reader removes its pin. W4 keeps the payload's stores behind the look at
the pins, R5 the last loads before the unpin: partners. While the pin is set, the reader needs no
second look at seq. Pins name no segment: the writer begins the first slot of a new one without a
look at them, because no reader follows it.

**The segment**: newest names a table, and the writer changes only the other one. A reader loads
newest, R6, the table, R7, newest again: if newest is unchanged, the table was not written
meanwhile, because that needs another newest first (W2 orders the table before the newest that names
it, W3 orders a newest before the next change of the other table).

**In order**: a reader that wants every frame looks through the seqs of all slots for the oldest
frame that it has not read, up to newest. R8, newest before those seqs, pairs with W3, a newest
before the next write: each frame up to newest is found stable, or was overwritten. R9, "closed"
before the last newest, pairs with W3 as well: the reader misses nothing that was published before
the end; and with W5: the number of the last frame is in place before "closed".

**Waiting**::

    writer:   newest = 2p|index -W3-> any waiting byte set? wake all
    reader:   waiting = 1       -R4-> newest unchanged? sleep until it changes

Each side stores one word and then loads the other's: at least one of them sees the other. For a
reader that is about to sleep, the kernel re-checks the word atomically before sleeping.

**An entry** is claimed by storing its owner: R10 keeps that store before the last look at the path
of the lock file. A cleaner removes the lock file either before that look, or so late that the owner
is visible to the process that makes the next file of that path. R11 keeps the last stores to the
entry before the one that frees it. Both pair with system calls, which remove and make files.

**A control segment** is stored whole before its ready word (W0), and read after it (R0).

On x86 only the order of a store before a later load needs an instruction: W1, W3, R3, R4, R10. The
processor keeps the others, and `Fences.order` is None.
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
    # the owner by the process that makes a new file (system calls order those).
    make_fence()("R10")


def clear_owner(control: Memory, entry: int) -> None:
    """Say that an entry is free, after all that was stored there."""
    # Pins and waiting before "free"; the next owner's load of it, and then its own pins (it makes
    # or locks a file in between).
    make_fence()("R11")
    control.words[OWNERS_WORD + entry] = 0
