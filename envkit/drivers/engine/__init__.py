"""Finds Docker and Podman, and calls both through the Docker SDK. Each call has a deadline."""
