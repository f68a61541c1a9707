"""Runs services: as containers (one class for Docker and Podman, with one SDK), or as processes of this host.

Each runtime is a module with a `RUNTIME`, registered in `base.registry.RUNTIMES`.
"""
