"""Checks whether this host can run each lane, and reports a remedy for each problem.

Each check is a small function that takes a `Host` and returns findings. The checks run in parallel, with a common
deadline. They change nothing; only a `Fix` does.
"""
