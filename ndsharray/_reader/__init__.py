"""The reading side: what one reader does, through every restart of its writer."""
