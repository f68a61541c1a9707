"""Builds the command that runs a program in a service's container, or on this host with the service's variables."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from envkit.base import labels
from envkit.base.errors import ToolMissing
from envkit.drivers.engine.endpoint import Endpoint
from envkit.drivers.runtimes.marked import SERVICE
from envkit.drivers.runtimes.spawning import Launch
from envkit.planning.facts import Instance

CLIENTS = {"psql": "Debian: postgresql-client", "redis-cli": "Debian: redis-tools"}
"""Maps each client to the package that contains it, for the hint of `ToolMissing`."""

Entered = tuple[tuple[str, ...], dict[str, str]]


def inside(
    endpoint: Endpoint, instance: Instance, client: Sequence[str], variables: Mapping[str, str], argv: Sequence[str],
    environ: Mapping[str, str], *, tty: bool,
) -> Entered:  # fmt: skip
    """Return a `docker exec` or `podman exec` command and the variables to set for it.

    It runs `argv` or `client`, see `addressed`, or `sh` if both are empty. Raises `ToolMissing` if the engine's command
    line is not on PATH.
    """
    program = shutil.which(endpoint.engine, path=environ.get("PATH"))
    if not program:
        raise ToolMissing(
            f"the command line of {endpoint.engine} is not on PATH, and envkit runs commands in containers with it",
            hint=f"install it, or use the published port: `env` prints the addresses of {instance.service}",
        )
    address = ["--host", endpoint.url] if endpoint.engine == "docker" else ["--remote", "--url", endpoint.url]
    named = [word for name in variables for word in ("--env", name)]
    words = [program, *address, "exec", "--interactive", *(["--tty"] if tty else []), *named, instance.id]
    return (*words, *(addressed(argv, client) or ["sh"])), dict(variables)


def beside(
    launch: Launch, instance: Instance, client: Sequence[str], variables: Mapping[str, str], argv: Sequence[str],
    environ: Mapping[str, str],
) -> Entered:  # fmt: skip
    """Return a command for this host, and the service's variables without envkit's markers.

    It runs `argv` or `client`, see `addressed`, or the user's shell if both are empty. Raises `ToolMissing` if the
    program is not installed.
    """
    marks = (labels.MARKER, SERVICE, labels.STATE_MARKER)
    own = {name: value for name, value in launch.env.items() if name not in (*marks, "HOME")}
    path = ":".join([str(Path(launch.argv[0]).parent), environ.get("PATH", "")])
    words = addressed(argv, client) or [environ.get("SHELL") or "sh"]
    found = shutil.which(words[0], path=path)
    if not found:
        package = CLIENTS.get(words[0])
        raise ToolMissing(
            f"{words[0]} is not on PATH, and not among the programs of {instance.service}",
            hint=f"install it{f' ({package})' if package else ''}; `env` prints the service's address",
        )
    return (found, *words[1:]), {**own, **variables, "PATH": path}


def addressed(argv: Sequence[str], client: Sequence[str]) -> list[str]:
    """Return `argv`, or `client` with the arguments of `argv` if `argv` is empty or starts with the same program."""
    return [*client, *argv[1:]] if not argv or argv[0] in client[:1] else list(argv)
