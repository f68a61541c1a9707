"""Check whether this host can run each lane, and report a remedy for each problem.

Each check is a small function that takes a `Host` and returns findings. The checks run in parallel, with a common
deadline. A check changes nothing; only a `Fix` changes something.
"""
