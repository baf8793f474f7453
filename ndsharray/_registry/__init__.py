"""Which arrays, writers and readers there are: names, lock files, and removing what is left."""
