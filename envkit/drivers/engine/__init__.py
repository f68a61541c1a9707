"""Finds Docker and Podman, and calls both with the Docker SDK; each call has a deadline."""
