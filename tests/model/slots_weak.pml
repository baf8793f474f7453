/* Can a copy be torn, or an array in place change, if unfenced accesses of a thread may swap?
   One slot that holds position 1; the writer takes it for position 2. Payload: two words.
   Follows WriteSide.begin and publish; ReadSide.head, confirm (-DCOPY); pin, head, unpin (-DLOOK).
   -DNO_W1 NO_W2 NO_W4 NO_R1 NO_R2 NO_R3 NO_R5 take a fence out. Each fence is a full one, so one may
   do the work of another. -DNO_BRANCH: as if the branch on the pins did not hold stores back. */
#include "weak.inc"
byte seq = 2, one = 1, two = 1, pinned = 0;

#ifdef NO_W1
#define W1 0
#else
#define W1 UPTO(0)
#endif
#ifdef NO_W4
#define W4 0
#else
#define W4 UPTO(1)
#endif
#ifdef NO_W2
#define W2 0
#else
#define W2 UPTO(3)
#endif
#ifdef NO_BRANCH
#define BRANCH 0
#else
#define BRANCH B(1)
#endif
#define FILLS (!HAS(done, 1) || !seen)
proctype writer() {
  byte done = 0, seen = 0;
  do
  OP(0, 0, seq = 3)
  OP(1, W1, seen = pinned)
  OP_IF(2, W1 | W4 | BRANCH, FILLS, one = 2)
  OP_IF(3, W1 | W4 | BRANCH, FILLS, two = 2)
  OP_IF(4, B(0) | B(1) | W1 | W4 | W2, FILLS, seq = 4)
  :: atomic { HAS(done, 0) && HAS(done, 1) && seen -> seq = 2; break }
  UNTIL(4)
  od
}

#ifdef NO_R1
#define R1 0
#else
#define R1 1
#endif
#ifdef NO_R2
#define R2 0
#else
#define R2 1
#endif
#ifdef COPY
proctype reader() {
  byte done = 0, first, last, a, b;
  do
  OP(0, 0, first = seq)
  OP(1, R1 * UPTO(0), a = one)
  OP(2, R1 * UPTO(0), b = two)
  OP(3, B(0) | R1 * UPTO(0) | R2 * UPTO(2), last = seq)
  UNTIL(3)
  od;
  if
  :: first == last && first % 2 == 0 -> assert(2 * a == first && 2 * b == first)
  :: else
  fi
}
#endif
#ifdef LOOK
#ifdef NO_R3
#define R3 0
#else
#define R3 UPTO(0)
#endif
#ifdef NO_R5
#define R5 0
#else
#define R5 UPTO(4)
#endif
/* `one` stands for the slot's words, loaded by head; `two` for the payload, loaded by the
   user as long as the pin stands. */
proctype reader() {
  byte done = 0, first, last, a, b;
  do
  OP(0, 0, pinned = 1)
  OP(1, R3, first = seq)
  OP(2, R3 | R1 * UPTO(1), a = one)
  OP(3, R3 | B(1) | R1 * UPTO(1) | R2 * UPTO(2), last = seq)
  OP(4, R3 | R1 * UPTO(1) | R2 * UPTO(2), b = two)
  OP(5, B(0) | R3 | R1 * UPTO(1) | R2 * UPTO(2) | R5, pinned = 0)
  UNTIL(5)
  od;
  if
  :: first == last && first % 2 == 0 -> assert(2 * a == first && 2 * b == first)
  :: else
  fi
}
#endif
init { atomic { run writer(); run reader() } }
