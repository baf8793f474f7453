"""How a run goes: its processes, which rivals take part in which scenario, kinds of runs.

`full`, `quick` and `against` are what the command line chooses from. Each of them drives a `bench`
(one run, its figures and failures), which has two `processes` for each rival; these are a `child`
each, take `turns` by words in shared memory, and open and close their `ends`. Beside them stand
`facts` (versions, the machine), `original` (the environment of the original package) and `stats`.
Each rival's child imports this room, so nothing here may import a rival.
"""
