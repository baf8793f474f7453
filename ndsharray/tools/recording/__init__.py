"""Recordings as MCAP files: messages, chunks, the summary, reading what is whole."""
