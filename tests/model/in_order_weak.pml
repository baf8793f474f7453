/* Can a reader that wants every frame miss one, or the number of the last one, if unfenced accesses
   of a thread may swap? Positions 1 and 2 lie in two slots, then the array is closed.
   Follows WriteSide.begin, publish, set_closed; ReadSide.is_live, newest, load_table (its
   fences only: Cursor._follow_in_order reads the table whenever newest moved), oldest, last_frame.
   -DNO_W1 NO_W2 NO_W4 NO_W3 NO_W5 NO_R6 NO_R7 NO_R8 NO_R9 take a fence out. Each fence is a full
   one: R6 and R7 do the work of R8 as well, W5 that of W3 before "closed". */
#include "weak.inc"
byte first = 0, second = 0, newest = 0, last = 0, closed = 0; /* first, second: seq of the slots */

#if defined(NO_W1) && defined(NO_W2) && defined(NO_W4)
#define BEGUN(k) 0
#else
#define BEGUN(k) UPTO(k)
#endif
#ifdef NO_W3
#define W3(k) 0
#else
#define W3(k) UPTO(k)
#endif
#ifdef NO_W5
#define W5 0
#else
#define W5 UPTO(6)
#endif
proctype writer() {
  byte done = 0;
  do
  OP(0, 0, first = 1)
  OP(1, B(0) | BEGUN(0), first = 2)
  OP(2, BEGUN(0), newest = 1)
  OP(3, BEGUN(0) | W3(2), second = 3)
  OP(4, B(3) | BEGUN(3) | W3(2), second = 4)
  OP(5, B(2) | BEGUN(3) | W3(2), newest = 2)
  OP(6, BEGUN(3) | W3(5), last = 2)
  OP(7, BEGUN(3) | W3(5) | W5, closed = 1)
  UNTIL(7)
  od
}

#ifdef NO_R9
#define R9 0
#else
#define R9 ((!HAS(done, 0) || end) * UPTO(0)) /* only once it is seen closed */
#endif
#if defined(NO_R8) && defined(NO_R6) && defined(NO_R7)
#define R8 0
#else
#define R8 UPTO(1)
#endif
proctype reader() {
  byte done = 0, end, word, one, two, number;
  do
  OP(0, 0, end = closed)
  OP(1, R9, word = newest)
  OP(2, R9 | R8, one = first)
  OP(3, R9 | R8, two = second)
  OP(4, R9 | R8, number = last)
  UNTIL(4)
  od;
  assert(word < 2 || one == 2);            /* the older frame first */
  assert(!end || (word == 2 && two == 4)); /* all that was published before the end */
  assert(!end || number == 2)
}
init { atomic { run writer(); run reader() } }
