/* Can a reader sleep for ever on a frame that was published, if unfenced accesses of a thread may
   swap? One publish, one reader on its way to sleep, no nap.
   Follows WriteSide.publish; Cursor.sleep, ReadSide.begin_waiting. The futex compares the word as
   it is in memory; that the kernel fences there as well is not relied upon.
   -DNO_W3 NO_R4 take a fence out. */
#include "weak.inc"
byte newest = 0, waiting = 0, asleep = 0;

#ifdef NO_W3
#define W3 0
#else
#define W3 UPTO(0)
#endif
#ifdef NO_R4
#define R4 0
#else
#define R4 UPTO(0)
#endif
proctype writer() {
  byte done = 0, any = 0;
  do
  OP(0, 0, newest = 1)
  OP(1, W3, any = waiting; asleep = asleep && !any)
  UNTIL(1)
  od
}
proctype reader() { /* it has seen newest == 0 */
  byte done = 0, word;
  do
  OP(0, 0, waiting = 1)
  OP(1, R4, word = newest)
  OP(2, R4 | B(1), asleep = (word == 0 && newest == 0))
  UNTIL(2)
  od;
  !asleep
}
init { atomic { run writer(); run reader() } }
