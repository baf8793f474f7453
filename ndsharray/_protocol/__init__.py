"""The format and the order of its loads and stores: no file, no process, no operating system."""
