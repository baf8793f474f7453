"""What the operating system gives: lock files, waiting, clocks, the ends of processes."""
