"""The works that are compared, in the order in which they are done.

Each module has what the children do, `run`, which is the parent's side of it, and `TABLE`, how its
figures are shown. Works are data of `WORKS`: what the name on the command line stands for.
"""

WORKS = "small frames shapes trips camera flood readers many cost start".split()
