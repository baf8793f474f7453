/* Can a reader accept a table that is half of one segment and half of another, or one that
   newest does not name, if unfenced accesses of a thread may swap?
   Two growths in a row, so the second one changes the table that newest named first. Segment and
   position n belong together; a table is two words. Follows Writer._new_segment (make_frames,
   begin_first), WriteSide.publish; ReadSide.load_table.
   -DNO_W2 NO_W3 NO_R6 NO_R7 take a fence out. Each fence is a full one. */
#include "weak.inc"
byte newest = 2, id[2], stride[2]; /* position 1, table 0 */

#ifdef NO_W2
#define W2(k) 0
#else
#define W2(k) UPTO(k)
#endif
#ifdef NO_W3
#define W3 0
#else
#define W3 UPTO(2)
#endif
proctype writer() {
  byte done = 0;
  do
  OP(0, 0, id[1] = 2)
  OP(1, 0, stride[1] = 2)
  OP(2, W2(1), newest = 2 * 2 + 1)
  OP(3, W3 | W2(1), id[0] = 3)
  OP(4, W3 | W2(1), stride[0] = 3)
  OP(5, B(2) | W3 | W2(4), newest = 2 * 3)
  UNTIL(5)
  od
}

#ifdef NO_R6
#define R6 0
#else
#define R6 UPTO(0)
#endif
#ifdef NO_R7
#define R7 0
#else
#define R7 UPTO(4)
#endif
/* Both tables are loaded, so that nothing rests on the address that newest gave. */
proctype reader() {
  byte done = 0, word, again, i0, s0, i1, s1;
  do
  OP(0, 0, word = newest)
  OP(1, R6, i0 = id[0])
  OP(2, R6, s0 = stride[0])
  OP(3, R6, i1 = id[1])
  OP(4, R6, s1 = stride[1])
  OP(5, B(0) | R6 | R7, again = newest)
  UNTIL(5)
  od;
  if
  :: again != word
  :: again == word && word % 2 == 0 -> assert(i0 == word / 2 && s0 == word / 2)
  :: again == word && word % 2 == 1 -> assert(i1 == word / 2 && s1 == word / 2)
  fi
}
init { id[0] = 1; stride[0] = 1; atomic { run writer(); run reader() } }
