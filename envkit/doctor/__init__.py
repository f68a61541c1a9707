"""What this host has and lacks for each lane, in plain words with the remedy. Checks only look; a `Fix` mends.

Each check is a small function from a `Host` to findings. They run side by side, each with a deadline.
"""
