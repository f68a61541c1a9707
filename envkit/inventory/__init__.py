"""Knows what is there: observes it now, and reads what the last `up` recorded. Also renders the exported variables."""
