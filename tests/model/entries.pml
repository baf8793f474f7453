/* Can two living readers use one entry, or a living reader's pin be cleared, while readers and the
   writer are killed anywhere and a cleaner removes lock files at any moment?
   One entry, READERS claimers, one clearing writer. Follows entries: _acquire_lock_file, Entry.claim,
   release, clear_if_dead; LockFile.lock, _open, release; set_owner (R10), clear_owner (R11).
   -DTSO: store buffers. -DNO_R10: that fence is out. -DNO_R11: it is out, and the two stores that it
   keeps apart swap, as on the weak order. -DNO_OWNER: the rule before entries had owners.
   -DCLEAR_FIRST: a claimer clears before its last look at the path. -DCLEAR_FREE: the writer clears
   whatever its owner, without claiming the entry. -DCLEANS=n -DKILLS=n: how many. -DLOOKS=n: looks of
   the writer. -DFRESH: inodes are never used twice (else as soon as no process has the file open and
   it has no name). */
#ifndef READERS
#define READERS 2
#endif
#ifndef CLEANS
#define CLEANS 1
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef LOOKS
#define LOOKS 1
#endif
#define PROCS (READERS + 1)
#define WORDS 2
#define OWNER 0
#define PIN 1
#include "memory.inc"
#ifdef NO_R10
#define FENCE_R10(me) skip
#else
#define FENCE_R10(me) FENCE(me)
#endif

#define INODES 7
byte path, lock[INODES], opened[INODES]; /* inode of the path, who locked it, open descriptors */
byte made, user, kills = KILLS;

/* One step of a process that may be killed just before it. */
#define STEP(what) \
  atomic { \
    if \
    :: skip \
    :: kills > 0 -> kills--; goto dead \
    fi; \
    what \
  }
#define MAY_CLAIM (mem[OWNER] == 0 || mem[OWNER] == fd)

inline new_inode() {
#ifdef FRESH
  made++;
  fd = made;
#else
  fd = 1;
  do
  :: fd == path || opened[fd] > 0 -> fd++
  :: else -> break
  od;
#endif
  assert(fd < INODES);
  path = fd;
  opened[fd] = 1
}

inline abandon() { /* closing the descriptor; also what the kernel does after a kill */
  atomic {
    DRAINED(me - 1);
    if
    :: fd && lock[fd] == me -> lock[fd] = 0
    :: else
    fi;
    if
    :: fd -> opened[fd]--
    :: else
    fi;
    if
    :: user == me -> user = 0
    :: else
    fi;
    fd = 0
  }
}

inline open_file() {
  if
  :: path -> fd = path; opened[fd]++
  :: else
  fi
}

inline make_file() {
  if
  :: path == 0 -> new_inode()
  :: else
  fi
}

inline try_lock() {
  if
  :: lock[fd] == 0 -> lock[fd] = me
  :: else -> opened[fd]--; fd = 0; break
  fi
}

inline acquire_lock_file() { /* fd is 0 where there is none */
#ifdef NO_OWNER
  make = true;
#else
  make = (mem[OWNER] == 0);
#endif
  do
  :: STEP(open_file());
     if
     :: fd == 0 && !make -> break
     :: fd == 0 && make -> STEP(make_file())
     :: else
     fi;
     if
     :: fd ->
        STEP(try_lock());
        if
        :: path == fd -> break
        :: else -> abandon()
        fi
     :: else
     fi
  od;
#ifndef NO_OWNER
  if
  :: fd && !MAY_CLAIM -> abandon()
  :: else
  fi
#endif
}

inline release() { /* LockFile.release: look, remove, close */
  if
  :: path == fd -> STEP(path = 0)
  :: else
  fi
  STEP(skip);
  abandon()
}

inline free_entry() { /* _clear, clear_owner */
#ifdef NO_R11
  STEP(STORE(me - 1, OWNER, 0));
  STEP(STORE(me - 1, PIN, 0))
#else
  STEP(STORE(me - 1, PIN, 0));
  STEP(STORE(me - 1, OWNER, 0))
#endif
}

inline own() {
#ifndef NO_OWNER
  if
  :: path != fd -> goto out
  :: else
  fi;
#endif
  assert(user == 0);
  user = me
}

proctype reader(byte me) {
  byte fd;
  bool make;
  acquire_lock_file();
  if
  :: fd == 0 -> goto out
  :: else
  fi;
#ifdef NO_OWNER
  STEP(STORE(me - 1, PIN, 0));
#else
  if
  :: path != fd || !MAY_CLAIM -> goto out
  :: else
  fi;
#ifdef CLEAR_FIRST
  STEP(STORE(me - 1, PIN, 0));
#endif
  STEP(STORE(me - 1, OWNER, fd));
  FENCE_R10(me - 1);
#endif
  STEP(own());
#if !defined(NO_OWNER) && !defined(CLEAR_FIRST)
  STEP(STORE(me - 1, PIN, 0));
#endif
  STEP(STORE(me - 1, PIN, 1));
  FENCE(me - 1); /* R3 */
  STEP(assert(mem[PIN] == 1 && user == me)); /* at any time from then on */
  user = 0;
  free_entry();
  release();
out: skip;
dead: abandon()
}

proctype writer(byte me) {
  byte fd, times = LOOKS;
  bool make;
  do
  :: times == 0 -> break
  :: times > 0 ->
     times--;
     acquire_lock_file();
     if
     :: fd == 0 -> goto next
     :: else
     fi;
#ifndef CLEAR_FREE
     /* claims it like a reader, and releases it */
     if
     :: path != fd || !MAY_CLAIM -> goto next
     :: else
     fi;
     STEP(STORE(me - 1, OWNER, fd));
     FENCE_R10(me - 1);
     if
     :: path != fd -> goto next
     :: else
     fi;
#endif
     free_entry();
     FENCE(me - 1);
     release();
next: abandon()
  od;
dead: abandon()
}

proctype cleaner() {
  byte cleans = CLEANS;
  do
  :: cleans > 0 -> cleans--; path = 0
  :: cleans > 0 -> break
  :: cleans == 0 -> break
  od
}

init {
  atomic {
    START_MEMORY;
    run writer(1);
    run reader(2);
    run reader(3);
#if READERS > 2
    run reader(4);
#endif
    run cleaner()
  }
}
