"""Runs services: as containers (Docker and Podman, one class over one SDK), or as processes of this host.

Each runtime is a module with a `RUNTIME`, registered in `base.registry.RUNTIMES`.
"""
