"""What exists: modules observe it now, and read and write the record of the last `up`. `export` renders variables."""
