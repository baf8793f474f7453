/* Is there one writer at most, does each process remove only its own, is nothing left in the end, and
   does a reader find the live instance, while writers are killed anywhere, close, and are swept?
   WRITERS writers that write once and close or stay, one sweep, one reader, then a last writer that
   stays: the reader must end with its frame. Follows LockFile.lock, release; take_over, _make;
   ControlSegment.close; remove_array; Holding.close; _sweep_one; Source.newest (Finder.find); entries
   only as far as a lock file tells that a reader is alive.
   Everything here goes through the system: sequential consistency is what there is.
   -DKILLS=n. -DNO_CHECK: the path is not looked at after locking. -DLOCK_FILE_FIRST: the lock file goes
   before the names. -DCONTROL_FIRST: the control name goes before the frames. -DNO_MARK: a sweep
   does not store "closed". -DNO_LOOK_UP: readers look up the name only when closed is stored.
   -DNO_SPARE: a sweep does not ask for readers again once it holds the lock file. */
#ifndef WRITERS
#define WRITERS 1
#endif
#ifndef KILLS
#define KILLS 1
#endif
#define INODES 6
#define LIVES 6 /* instances */
#define SWEEPER (WRITERS + 2)
#define HALF 0
#define LIVE 1
#define CLOSED 2
byte path, lock[INODES], opened[INODES];      /* the writers' lock file */
byte control, made;                           /* instance that the name stands for; 0: none */
byte state[LIVES], newest[LIVES];
bool frames[LIVES];                           /* whether its frame segment's name is there */
byte owners, kills = KILLS, ended, attached;
bool has_entry; /* the reader holds the lock file of an entry */

#define STEP(what) \
  atomic { \
    if \
    :: skip \
    :: kills > 0 -> kills--; goto dead \
    fi; \
    what \
  }

inline open_file() {
  if
  :: path -> fd = path
  :: else -> /* another may come first: then that one is opened */
     fd = 1;
     do
     :: opened[fd] -> fd++
     :: else -> break
     od;
     path = fd
  fi;
  opened[fd]++
}

inline abandon() {
  atomic {
    if
    :: fd && lock[fd] == me -> lock[fd] = 0
    :: else
    fi;
    if
    :: fd -> opened[fd]--
    :: else
    fi;
    fd = 0;
    owners = owners - owns;
    owns = 0
  }
}

inline try_lock() {
  if
  :: lock[fd] == 0 -> lock[fd] = me
  :: else -> opened[fd]--; fd = 0
  fi
}

inline acquire_lock_file() {
  do
  :: STEP(open_file());
     STEP(try_lock());
     if
     :: fd == 0 -> break
#ifdef NO_CHECK
     :: fd -> break
#else
     :: fd && path == fd -> break
     :: fd && path != fd -> abandon()
#endif
     fi
  od;
  atomic {
    if
    :: fd -> owns = 1; owners++; assert(owners == 1)
    :: else
    fi
  }
}

inline release() {
  if
  :: path == fd -> STEP(path = 0; owners--; owns = 0) /* the last that it does as the owner */
  :: else
  fi;
  abandon()
}

inline remove_array(mark) {
  id = control;
  if
  :: id ->
     if
     :: mark -> STEP(state[id] = CLOSED)
     :: else
     fi;
#ifdef CONTROL_FIRST
     STEP(control = 0);
     STEP(frames[id] = false)
#else
     STEP(frames[id] = false);
     STEP(assert(control == id); control = 0)
#endif
  :: else
  fi
}

proctype writer(byte me) {
  byte fd, id, owns;
  bool last = (me == WRITERS + 1);
  if
  :: last -> ended == WRITERS
  :: else
  fi;
  do
  :: acquire_lock_file();
     if
     :: fd -> break
     :: fd == 0 && !last -> goto dead
     :: fd == 0 && last /* a sweep holds it: it has patience */
     fi
  od;
  if
  :: control && state[control] == HALF -> remove_array(true)
  :: else
  fi;
  if
  :: control == 0 ->
     STEP(made++; control = made; state[made] = HALF);
     id = control;
     STEP(state[id] = LIVE)
  :: else ->
     id = control;
     STEP(state[id] = LIVE)
  fi;
  STEP(frames[id] = true); /* its name is recorded before */
  STEP(newest[id]++);
  assert(control == id);
  if
  :: last -> goto stays
  :: !last -> goto dead /* it dies, or goes without an end */
  :: !last ->
     STEP(state[id] = CLOSED);
#ifdef LOCK_FILE_FIRST
     STEP(path = 0; owners--; owns = 0);
     abandon();
     remove_array(false)
#else
     remove_array(false);
     release()
#endif
  fi;
dead:
  abandon();
stays:
  ended++
}

proctype sweeper(byte me) {
  byte fd, id, owns;
  bool held; /* a reader's entry, when the writer's lock file was locked */
  if
  :: (path && lock[path]) || has_entry -> goto dead /* probes */
  :: else
  fi;
  acquire_lock_file();
  if
  :: fd == 0 -> goto dead
  :: else
  fi;
  held = has_entry;
#ifndef NO_SPARE
  if
  :: has_entry -> goto dead
  :: else
  fi;
#endif
  assert(!held);
#ifdef NO_MARK
  remove_array(false);
#else
  remove_array(true);
#endif
  release();
dead: abandon()
}

/* It attaches to what the name stands for, and then to another instance that has a frame. */
#ifdef NO_LOOK_UP
#define LOOKS (attached == 0 || state[attached] != LIVE)
#else
#define LOOKS true
#endif
#define ANOTHER (control && control != attached && state[control] != HALF)
proctype reader() {
  byte last_read;
end: do
  :: atomic {
       LOOKS && ANOTHER && (attached == 0 || newest[control]) -> attached = control; last_read = 0
     }
  :: has_entry == false && attached -> has_entry = true
  :: atomic { attached && newest[attached] != last_read -> last_read = newest[attached] }
  od
}

/* When nothing more can happen: the last writer lives, and the reader is with it. */
proctype observer() {
  byte id = 1;
  timeout;
  if
  :: ended == WRITERS + 1 && owners == 1 && control && state[control] == LIVE ->
     assert(attached == control);
     do
     :: id == LIVES -> break
     :: id < LIVES -> assert(!frames[id] || id == control); id++
     od
  :: else
  fi
}

init {
  atomic {
    run writer(1);
    run writer(2);
#if WRITERS > 1
    run writer(3);
#endif
    run sweeper(SWEEPER);
    run reader();
    run observer()
  }
}
