"""Supplies images (present, pulled, or built on this host) and programs (see `binaries`).

envkit runs no downloaded program without a known digest.
"""
