/* Can a reader accept a torn frame, or a slot be overwritten that is newest or pinned?
   SLOTS slots, FRAMES writes, READERS readers with READS tries each; a payload is two words.
   Follows WriteSide.begin, publish, settle; ReadSide.newest, head, confirm, pin,
   unpin; Cursor.newest. A write may be interrupted at any step (-DINTERRUPTS=n), by an exception
   in a process that continues: the next one settles. A write that finds no slot ends.
   -DTSO: store buffers. -DNO_W1 NO_R3 take a fence out (the others are no instruction on x86).
   -DNO_SETTLE: the next write does not settle. -DPUBLISH_FIRST: own record after the shared word.
   -DNO_SECOND_LOOK: the writer looks at the pins only before it stores seq. */
#ifndef SLOTS
#define SLOTS 3
#endif
#ifndef FRAMES
#define FRAMES 4
#endif
#ifndef READERS
#define READERS 1
#endif
#ifndef READS
#define READS 2
#endif
#ifndef INTERRUPTS
#define INTERRUPTS 0
#endif
#define PROCS (READERS + 1)
#define SEQ(i) (i)
#define ONE(i) (SLOTS + (i))
#define TWO(i) (2 * SLOTS + (i))
#define NEWEST (3 * SLOTS)
#define PINNED(r) (3 * SLOTS + (r)) /* readers are 1, 2 ... */
#define WORDS (3 * SLOTS + 1 + READERS)
#include "memory.inc"

#if INTERRUPTS
byte interrupts = INTERRUPTS;
#define STEP \
  if \
  :: skip \
  :: interrupts > 0 -> interrupts--; goto interrupted \
  fi
#else
#define STEP skip
#endif

inline look_at_pins() {
  pinned = false;
  r = 1;
  do
  :: r <= READERS -> atomic { pinned = pinned || mem[PINNED(r)] == index + 1; r++ }
  :: r > READERS -> break
  od
}

proctype writer() {
  byte position, index, newest, open, tries, r, writes;
  byte stable[SLOTS]; /* own record: position of each slot's last whole frame */
  bool pinned;
next_write:
  do
  :: writes == FRAMES -> goto out
  :: writes < FRAMES ->
     writes++;
#ifndef NO_SETTLE
     if
     :: open ->
        if
        :: open != newest ->
           stable[open % SLOTS] = 0;
           STEP;
           STORE(0, SEQ(open % SLOTS), 2 * open - 1)
        :: else
        fi;
        if
        :: newest -> STORE(0, NEWEST, newest); STEP; FENCE_W3(0)
        :: else
        fi;
        open = 0
     :: else
     fi;
#endif
     tries = 0;
     do
     :: tries == SLOTS -> goto next_write
     :: tries < SLOTS ->
        atomic { tries++; position++; index = position % SLOTS }
        if
        :: newest && index == newest % SLOTS
        :: else ->
           look_at_pins();
           if
           :: pinned
           :: else ->
              open = position;
              STORE(0, SEQ(index), 2 * position - 1);
              STEP;
              FENCE_W1(0);
#ifndef NO_SECOND_LOOK
              look_at_pins();
#endif
              if
              :: pinned -> STORE(0, SEQ(index), 2 * stable[index]); STEP; open = 0
              :: else -> break
              fi
           fi
        fi
     od;
     assert(mem[NEWEST] == 0 || mem[NEWEST] % SLOTS != index);
     stable[index] = 0; /* W4: on x86 nothing, and the branch before */
     STORE(0, ONE(index), position);
     STEP;
     STORE(0, TWO(index), position);
     STEP;
     stable[index] = position; /* W2 */
     STORE(0, SEQ(index), 2 * position);
     STEP;
#ifdef PUBLISH_FIRST
     STORE(0, NEWEST, position);
     STEP;
     newest = position;
#else
     newest = position;
     STEP;
     STORE(0, NEWEST, position);
#endif
     STEP;
     FENCE_W3(0);
     open = 0
  od;
interrupted:
  goto next_write;
out: skip
}

inline payload_is(p) {
  one = mem[ONE(index)];
  two = mem[TWO(index)];
  assert(one == p && two == p)
}

proctype reader(byte me) {
  byte reads, position, last_read, index, one, two;
  do
  :: reads == READS -> break
  :: reads < READS ->
     reads++;
     position = mem[NEWEST];
     if
     :: position == 0 || position == last_read
     :: else ->
        assert(position > last_read);
        index = position % SLOTS;
        if
        :: mem[SEQ(index)] == 2 * position -> /* a copy, without a pin */
           one = mem[ONE(index)];
           two = mem[TWO(index)];
           if
           :: mem[SEQ(index)] == 2 * position ->
              assert(one == position && two == position);
              last_read = position
           :: else
           fi
        :: true -> /* in place, or a copy from the second try on */
           STORE(me, PINNED(me), index + 1);
           FENCE_R3(me);
           if
           :: mem[SEQ(index)] == 2 * position ->
              last_read = position;
              payload_is(position);
              payload_is(position) /* as long as it is pinned */
           :: else
           fi;
           STORE(me, PINNED(me), 0)
        fi
     fi;
     atomic { position = 0; index = 0; one = 0; two = 0 }
  od
}

init {
  atomic {
    START_MEMORY;
    run writer();
    run reader(1);
#if READERS > 1
    run reader(2)
#endif
  }
}
