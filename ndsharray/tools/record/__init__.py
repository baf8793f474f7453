"""``ndsharray record``: keep arrays in MCAP files; `Recorder` does the same for Python programs."""
