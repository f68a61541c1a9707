"""Observe what exists now, and read and write the record of the last `up`. `export` returns variables as text."""
