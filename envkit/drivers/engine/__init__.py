"""Finds Docker and Podman, and calls both over one SDK, each call within its deadline."""
