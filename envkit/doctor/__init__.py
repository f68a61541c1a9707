"""Checks what this host has and lacks for each lane, with a remedy for each lack. Checks only read; a `Fix` repairs.

Each check is a small function from a `Host` to findings. All checks run at once and share one deadline.
"""
