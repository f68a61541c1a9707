"""The two small shell programs that start Redis and PostgreSQL with fewer rights for their clients.

A container gets the program as a file that comes before the image's own on PATH, so that it counts whatever command,
entrypoint or init script a user's service has. A process gets its text (`sh -c`), so that both run the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

ALL = "ENVKIT_SUPERUSER"
"""The variable of a service that leaves its clients every right."""

EXTENSIONS = "ENVKIT_POSTGRES_EXTENSIONS"
"""The variable of a service that names, by space, extensions for envkit's own superuser to create."""

DATABASE = "ENVKIT_DATABASE"
"""The variable that has `initdb.sh` make a database for the role; an image makes it by itself."""

EARLY = "/usr/local/sbin"
"""The first folder on PATH in Debian's and Alpine's images, and so in those of Redis and PostgreSQL."""


def _program(name: str) -> Path:
    return Path(__file__).with_name(f"{name}.sh")


def before(name: str) -> dict[str, dict[str, Any]]:
    """The program as a file of a service, by its path in a container."""
    return {f"{EARLY}/{name}": {"source": str(_program(name)), "mode": "0755"}}


def limited(name: str, argv: Sequence[str]) -> tuple[str, ...]:
    """The words that run a process's program, `argv[0]` its path, with fewer rights for its clients."""
    return ("/bin/sh", "-c", _program(name).read_text(encoding="utf-8"), *argv)


def everything(superuser: bool) -> dict[str, str]:
    """The variable for the service, if its clients keep every right."""
    return {ALL: "true"} if superuser else {}
