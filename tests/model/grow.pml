/* Is the newest whole frame always readable, and never one that was not published, while writers grow,
   are killed anywhere, and others take over? And is every name on record that there is?
   WRITERS writers, one after the other under the lock file, each writes FRAMES frames, each into the
   segment there is or a new one. Follows Growth.next_slot, _grow; Publisher._publish; ControlSegment:
   adopt, next_segment, set_table, remove_frames; ReadSide.load_table; Cursor.newest, Instance.follow.
   A reader tries READS times at any moment, and must get the newest frame when all is over (READS=0:
   one that comes only then); the names are compared with the record. -DPASS: a position may be
   passed by (a pinned slot).
   -DTSO: store buffers. -DKILLS=n. -DNO_JUMP: the successor continues from the next position.
   -DMAKE_FIRST: the segment is made before its id is recorded. -DONE_TABLE: the table that
   newest names is changed. -DREMOVE_FIRST: the old segment goes before newest is stored.
   -DNO_AGAIN: the reader reads the table only when newest names the other table. */
#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef FRAMES
#define FRAMES 2
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef READS
#define READS 2
#endif
#define SLOTS 3
#define SEGMENTS (WRITERS * FRAMES + 1) /* ids from 1 */
#ifdef NO_JUMP
#define JUMP 0
#else
#define JUMP (3 * FRAMES) /* more positions than a writer can be past newest */
#endif
#define PROCS 1
#define NEWEST 0
#define NEXT 1
#define ID(index) (2 + (index))
#define PREVIOUS(index) (4 + (index))
#define SEQ(id, position) (6 + 2 * ((id) * SLOTS + (position) % SLOTS))
#define PAYLOAD(id, position) (SEQ(id, position) + 1)
#define WORDS (6 + 2 * SLOTS * SEGMENTS)
#include "memory.inc"

byte kills = KILLS, ended, frames_made;
bool lock_file;
int names; /* those that exist, a bit for each id */
byte published[80]; /* by position */
byte last;

#define BIT(id) (1 << (id))
#define STEP(what) \
  atomic { \
    if \
    :: skip \
    :: kills > 0 -> kills--; goto dead \
    fi; \
    what \
  }

inline remove_frames(keep) {
  id = 1;
  do
  :: id == SEGMENTS -> break
  :: id < SEGMENTS ->
     if
     :: id != keep && (own & BIT(id)) -> STEP(names = names & ~BIT(id)); own = own & ~BIT(id)
     :: else
     fi;
     id++
  od;
  id = 0
}

inline fill() {
  STEP(STORE(0, SEQ(segment, position), 2 * position - 1); STORE(0, PAYLOAD(segment, position), frame));
  STEP(STORE(0, SEQ(segment, position), 2 * position))
}

inline publish() {
  newest = 2 * position + index;
  STEP(STORE(0, NEWEST, newest); published[position] = frame; last = position);
  FENCE_W3(0)
}

inline next_position(old) { /* old: the newest position, where it lies in this segment */
  atomic {
    position++;
#ifdef PASS
    if
    :: position++
    :: true
    fi;
#endif
    if
    :: old && position % SLOTS == old % SLOTS -> position++
    :: else
    fi
  }
}

proctype writer() {
  byte newest, next, position, index, segment, keep, frame, writes, id;
  byte table[2]; /* own record: the segment that each table names */
  int own;       /* own record: names that may exist */
  bool fresh = true;
  atomic { !lock_file -> lock_file = true }
  atomic { /* adopt: nobody else stores now */
    newest = mem[NEWEST];
    next = mem[NEXT];
    table[0] = mem[ID(0)];
    table[1] = mem[ID(1)];
    own = BIT(next) | BIT(table[0]) | BIT(table[1]) | BIT(mem[PREVIOUS(0)]) | BIT(mem[PREVIOUS(1)]);
    index = newest % 2;
    position = newest / 2;
    segment = (position -> table[index] : 0);
    if
    :: next -> position = position + JUMP
    :: else
    fi
  }
  remove_frames(segment);
  do
  :: writes == FRAMES -> break
  :: writes < FRAMES ->
     atomic { writes++; frames_made++; frame = frames_made }
     if
     :: !fresh -> next_position(newest / 2); fill(); publish()
     :: true ->
        keep = segment;
        remove_frames(keep);
        segment = 1 + (next > table[0] -> (next > table[1] -> next : table[1])
                                        : (table[0] > table[1] -> table[0] : table[1]));
        next = segment;
        own = own | BIT(next);
#ifdef MAKE_FIRST
        STEP(names = names | BIT(next));
        STEP(STORE(0, NEXT, next));
#else
        STEP(STORE(0, NEXT, next));
        STEP(names = names | BIT(next));
#endif
#ifndef ONE_TABLE
        index = 1 - newest % 2;
#endif
        table[index] = segment;
        STEP(STORE(0, ID(index), segment));
        STEP(STORE(0, PREVIOUS(index), keep));
        next_position(0);
        fill();
#ifdef REMOVE_FIRST
        remove_frames(segment);
#endif
        publish();
        fresh = false;
        remove_frames(segment)
     fi
  od;
dead:
  atomic { DRAINED(0); lock_file = false; ended++ }
}

inline follow() { /* Instance.follow: failed unless the table is whole and its segment opens */
  id = mem[ID(word % 2)];
  if
  :: mem[NEWEST] != word -> id = 0
  :: else
  fi;
  if
  :: id == 0 || (id != segment && !(names & BIT(id))) -> id = 0
  :: else -> segment = id; index = word % 2
  fi
}

inline try() {
  word = mem[NEWEST];
  if
  :: word / 2 == 0 || word / 2 == last_read
  :: else ->
     id = segment;
#ifdef NO_AGAIN
     if
     :: word % 2 != index -> follow()
#else
     if
     :: failed || word % 2 != index -> follow()
#endif
     :: else
     fi;
     failed = true;
     if
     :: id && mem[SEQ(segment, word / 2)] == 2 * (word / 2) ->
        frame = mem[PAYLOAD(segment, word / 2)];
        if
        :: mem[SEQ(segment, word / 2)] == 2 * (word / 2) ->
           assert(word / 2 > last_read && published[word / 2] == frame);
           last_read = word / 2;
           failed = false
        :: else
        fi
     :: else
     fi
  fi;
  atomic { word = 0; id = 0; frame = 0 }
}

proctype reader(byte reads) {
  byte last_read, segment, index = 2, word, id, frame;
  bool failed;
  do
  :: reads == 0 -> break
  :: reads > 0 -> reads--; try()
  od;
  ended == WRITERS;
  try();
  try();
  assert(last_read == last);
  /* Every name that exists is recorded: a successor, or a sweep, removes it. */
  assert((names & ~(BIT(mem[NEXT]) | BIT(mem[ID(0)]) | BIT(mem[ID(1)]) | BIT(mem[PREVIOUS(0)])
    | BIT(mem[PREVIOUS(1)]))) == 0)
}

init {
  atomic {
    START_MEMORY;
    run writer();
    run writer();
#if WRITERS > 2
    run writer();
#endif
    run reader(READS)
  }
}
