"""Supplies images (present, pulled, or built on this host) and programs (see `binaries`).

envkit runs a downloaded program only if it knows the digest of the file.
"""
