"""Supplies images (present, built here, or pulled) and programs (`binaries`), each program with a known digest."""
