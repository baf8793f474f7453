"""The writing side: what one writer does, from taking an array to closing it."""
