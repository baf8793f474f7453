/* Can a reader sleep for ever while there is a frame that it has not seen?
   One writer, FRAMES publishes; READERS readers that sleep without a nap whenever nothing is new.
   Follows WriteSide.publish; Cursor.newest, Cursor.sleep, ReadSide.begin_waiting, end_waiting;
   Waiter.sleep (the futex compares the word in one step with going to sleep), Waiter.wake.
   -DTSO: store buffers. -DNO_W3 NO_R4 take a fence out. -DNO_SECOND_LOOK: sleep on the word as it
   is then, seen or not. -DNO_COMPARE: the system does not compare.
   -DDEAD: one reader may be killed anywhere; its waiting byte stays.
   -DCLOSE: at the end the array is closed; -DNAP: a sleep may end by itself. */
#ifndef FRAMES
#define FRAMES 3
#endif
#ifndef READERS
#define READERS 2
#endif
#define PROCS (READERS + 1)
#define NEWEST 0
#define CLOSED (READERS + 1)
#define WAITING(r) (r) /* readers are 1, 2 ... */
#define WORDS (READERS + 2)
#include "memory.inc"
bool asleep[PROCS];

#ifdef DEAD
byte deaths = 1;
#define STEP \
  if \
  :: skip \
  :: deaths > 0 -> deaths--; goto dead \
  fi
#else
#define STEP skip
#endif
#ifdef CLOSE
#define LIVE (mem[CLOSED] == 0)
#define MORE (last_read < FRAMES || LIVE)
#else
#define LIVE true
#define MORE (last_read < FRAMES)
#endif

inline wake() {
  d_step {
    r = 1;
    do
    :: r <= READERS -> asleep[r] = false; r++
    :: else -> break
    od
  }
}

proctype writer() {
  byte position, r;
  bool any;
  do
  :: position < FRAMES ->
     position++;
     STORE(0, NEWEST, position);
     FENCE_W3(0);
     any = false;
     r = 1;
     do
     :: r <= READERS -> atomic { any = any || mem[WAITING(r)]; r++ }
     :: r > READERS -> break
     od;
     if
     :: any -> wake()
     :: else
     fi
  :: position == FRAMES -> break
  od;
#ifdef CLOSE
  STORE(0, CLOSED, 1); /* W5: on x86 nothing */
  wake()
#endif
}

proctype reader(byte me) {
  byte last_read, seen, word;
  do
  :: !MORE -> break
  :: MORE ->
     seen = mem[NEWEST];
     if
     :: seen != last_read -> last_read = seen
     :: else ->
        STORE(me, WAITING(me), 1);
        STEP;
        FENCE_R4(me);
        word = mem[NEWEST];
#ifdef NO_SECOND_LOOK
        if
        :: LIVE ->
#else
        if
        :: word == seen && LIVE ->
#endif
           STEP;
#ifdef NO_COMPARE
           asleep[me] = true;
#else
           asleep[me] = (mem[NEWEST] == word);
#endif
           if
           :: !asleep[me]
#ifdef NAP
           :: true -> asleep[me] = false
#endif
#ifdef DEAD
           :: deaths > 0 -> deaths--; goto dead
#endif
           fi
        :: else
        fi;
        STORE(me, WAITING(me), 0)
     fi
  od;
dead: skip
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
