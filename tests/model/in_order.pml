/* Does a reader that wants every frame get only published ones, in order, none left out that is still
   there, and the last number at the end?
   One writer, FRAMES frames in SLOTS slots, GROWS new segments, then it closes; it may be
   interrupted (-DINTERRUPTS=n: the next write settles) or killed (-DKILLS=n: a successor continues).
   With more slots than positions (-DALL) nothing is overrun: then no number may be left out.
   Follows WriteSide, Growth._grow, set_closed; Source.oldest, Cursor.next, _follow_in_order,
   ReadSide.oldest, head, confirm, last_frame.
   -DTSO: store buffers. -DNO_LIMIT: in the segment that was left, take what newest allows.
   -DNO_SETTLE: the next write does not settle. -DCLOSED_LATE: the reader looks whether it is closed
   after it found nothing. -DNO_PREVIOUS: it goes to the new segment at once. */
#ifndef FRAMES
#define FRAMES 3
#endif
#ifndef SLOTS
#define SLOTS 3
#endif
#ifndef GROWS
#define GROWS 1
#endif
#ifndef INTERRUPTS
#define INTERRUPTS 0
#endif
#ifndef KILLS
#define KILLS 0
#endif
#define JUMP 4
#define SEGMENTS (2 + GROWS + 2 * (INTERRUPTS + KILLS)) /* ids from 1 */
#define PROCS 1
#define NEWEST 0
#define CLOSED 1
#define LAST 2
#define ID(index) (3 + (index))
#define BEFORE(index) (5 + (index))
#define PREVIOUS(index) (7 + (index))
#define SEQ(id, position) (9 + 2 * (((id) - 1) * SLOTS + (position) % SLOTS))
#define PAYLOAD(id, position) (SEQ(id, position) + 1)
#define WORDS (9 + 2 * SLOTS * (SEGMENTS - 1))
#include "memory.inc"

byte published[40]; /* number of the frame, by position */

#if INTERRUPTS + KILLS
byte interrupts = INTERRUPTS, kills = KILLS;
#define STEP(what) \
  atomic { \
    if \
    :: skip \
    :: interrupts > 0 -> interrupts--; goto again \
    :: kills > 0 -> kills--; goto killed \
    fi; \
    what \
  }
#else
#define STEP(what) atomic { what }
#endif

proctype writer() {
  byte newest, number, position, index, followed, segment, made, open, grows = GROWS;
  bool fresh = true; /* the next write begins a segment */
again:
  do
  :: number == FRAMES -> break
  :: number < FRAMES ->
#ifndef NO_SETTLE
     if
     :: open ->
        if
        :: open != newest / 2 -> STEP(STORE(0, SEQ(followed, open), 2 * open - 1))
        :: else -> STEP(STORE(0, NEWEST, newest); published[open] = number)
        fi;
        FENCE_W3(0);
        open = 0;
        goto again
     :: else
     fi;
#endif
     atomic {
       segment = followed;
       index = newest % 2;
       if
       :: !fresh
       :: fresh || grows > 0 ->
          grows = (fresh -> grows : grows - 1);
          made++;
          segment = made;
          assert(segment < SEGMENTS);
          index = 1 - newest % 2
       fi
     }
     if
     :: segment != followed ->
        STEP(STORE(0, ID(index), segment));
        STEP(STORE(0, BEFORE(index), newest / 2));
        STEP(STORE(0, PREVIOUS(index), followed))
     :: else
     fi;
     atomic {
       position++;
       if
       :: segment == followed && position % SLOTS == (newest / 2) % SLOTS -> position++
       :: else
       fi;
       open = (segment == followed -> position : 0)
     }
     STEP(STORE(0, SEQ(segment, position), 2 * position - 1));
     FENCE_W1(0);
     STEP(STORE(0, PAYLOAD(segment, position), number + 1));
     STEP(STORE(0, SEQ(segment, position), 2 * position));
     atomic {
       newest = 2 * position + index;
       number++;
       followed = segment;
       fresh = false;
       open = position
     }
     STEP(STORE(0, NEWEST, newest); published[position] = number);
     FENCE_W3(0);
     open = 0
  od;
  if
  :: open -> /* else the last number would count a frame that was recorded and not published */
     atomic { STORE(0, NEWEST, newest); published[open] = number }
  :: else
  fi;
  STORE(0, LAST, number);
  STORE(0, CLOSED, 1); /* W5: on x86 nothing */
  goto out;
#if INTERRUPTS + KILLS
killed:
  atomic {
    DRAINED(0);
    newest = mem[NEWEST];
    number = published[newest / 2];
    followed = (newest / 2 -> mem[ID(newest % 2)] : 0);
    position = newest / 2 + JUMP;
    fresh = true;
    open = 0;
    segment = 0;
    index = 0
  }
  goto again;
#endif
out: skip
}

#define IN_REACH(limit) \
  (seq > 2 * last_read && seq <= 2 * (limit) && (position == 0 || seq < 2 * position))
inline oldest(limit) {
  position = 0;
  if
  :: last_read + 1 <= limit && mem[SEQ(segment, last_read + 1)] == 2 * (last_read + 1) -> position = last_read + 1
  :: else ->
     slot = 0;
     do
     :: slot == SLOTS -> break
     :: slot < SLOTS ->
        atomic {
          seq = mem[SEQ(segment, slot)];
          if
          :: seq % 2 == 0 && IN_REACH(limit) -> position = seq / 2
          :: else
          fi;
          slot++;
          seq = 0
        }
     od;
     slot = 0
  fi
}

proctype reader() {
  byte last_read, last, segment, table_word, word, id, before, previous, position, slot, seq, payload;
  bool live;
  do
  :: true ->
     live = !mem[CLOSED]; /* R9 */
     position = 0;
     word = mem[NEWEST];
     if
     :: word / 2 == 0 || word / 2 == last_read
     :: else ->
        if
        :: word == table_word -> oldest(word / 2)
        :: else -> /* R6 */
           id = mem[ID(word % 2)];
           before = mem[BEFORE(word % 2)];
           previous = mem[PREVIOUS(word % 2)]; /* R7 */
           if
           :: mem[NEWEST] == word ->
#ifndef NO_PREVIOUS
              if
              :: segment && segment == previous && id != previous ->
#ifdef NO_LIMIT
                 oldest(word / 2)
#else
                 oldest(before)
#endif
              :: else
              fi;
#endif
              if
              :: position == 0 -> segment = id; table_word = word; oldest(word / 2)
              :: else
              fi
           :: else
           fi
        fi;
        if
        :: position && mem[SEQ(segment, position)] == 2 * position ->
           payload = mem[PAYLOAD(segment, position)];
           if
           :: mem[SEQ(segment, position)] == 2 * position ->
              assert(position > last_read && payload && published[position] == payload);
#ifdef ALL
              assert(last_read == 0 || payload == last + 1);
#endif
              last_read = position;
              last = payload
           :: else -> position = 0
           fi
        :: else -> position = 0
        fi
     fi;
#ifdef CLOSED_LATE
     live = !mem[CLOSED];
#endif
     if
     :: position == 0 && !live -> break
     :: else
     fi;
     atomic { word = 0; id = 0; before = 0; previous = 0; position = 0; payload = 0 }
  od;
  assert(mem[LAST] == FRAMES);
  assert(last == FRAMES)
}

init {
  atomic {
    START_MEMORY;
    run writer();
    run reader()
  }
}
