/* Can a control segment look whole before it is, if unfenced accesses of a thread may swap?
   Follows control._make, set_ready; Finder.find, is_ready. -DNO_W0 NO_R0 take a fence out. */
#include "weak.inc"
byte ready = 0, instance = 0, name = 0;

#ifdef NO_W0
#define W0 0
#else
#define W0 UPTO(1)
#endif
#ifdef NO_R0
#define R0 0
#else
#define R0 UPTO(0)
#endif
proctype maker() {
  byte done = 0;
  do
  OP(0, 0, instance = 7)
  OP(1, 0, name = 7)
  OP(2, W0, ready = 1)
  UNTIL(2)
  od
}
proctype finder() {
  byte done = 0, whole, a, b;
  do
  OP(0, 0, whole = ready)
  OP(1, R0, a = instance)
  OP(2, R0, b = name)
  UNTIL(2)
  od;
  assert(!whole || (a == 7 && b == 7))
}
init { atomic { run maker(); run finder() } }
