"""What is measured: the scenarios, in the order in which a full run does them.

Each module has the functions that the children carry out, `run`, which is the parent's side, and
`TABLE`, how its figures are shown. The names in `SCENARIOS` are those of the command line. `sizes`
and `record` stand beside them: they concern this library alone.
"""

SCENARIOS = "small frames shapes trips camera flood readers many cost start".split()
