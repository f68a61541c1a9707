"""Supplies images (present, pulled, or built here) and programs (`binaries`); the digest of each program is known."""
