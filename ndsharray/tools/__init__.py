"""The command line ``ndsharray``, a module or a folder for each command.

Three are no commands: ``cli`` finds and starts one, ``common`` is what several have in common, and
``recording`` is the files that ``record`` writes, and ``replay``, ``recover`` and ``export`` read.
Nothing else of the library imports this package.
"""
