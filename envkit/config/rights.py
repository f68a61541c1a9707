"""Two small shell programs that start Redis and PostgreSQL with restricted rights for their clients.

A container gets the program as a file in a folder that is first on PATH. The program therefore runs for every command,
entrypoint and init script that a service has. A process gets the program's text (`sh -c`), so both run the same code.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

ALL = "ENVKIT_SUPERUSER"
"""Environment variable of a service; `true` gives the service's clients all rights."""

EXTENSIONS = "ENVKIT_POSTGRES_EXTENSIONS"
"""Environment variable of a service: the extensions, separated by spaces, that envkit's own superuser creates."""

DATABASE = "ENVKIT_DATABASE"
"""Environment variable of a process: the database that `initdb.sh` creates; an image creates its own database."""

EARLY = "/usr/local/sbin"
"""The first folder on PATH in Debian's and Alpine's images; Redis' and PostgreSQL's images are based on them."""


def _program(name: str) -> Path:
    return Path(__file__).with_name(f"{name}.sh")


def before(name: str) -> dict[str, dict[str, Any]]:
    """Return the program as a `files` entry of a service; the key is its path in the container."""
    return {f"{EARLY}/{name}": {"source": str(_program(name)), "mode": "0755"}}


def limited(name: str, argv: Sequence[str]) -> tuple[str, ...]:
    """Return the command that runs the program at path `argv[0]` with restricted rights for its clients."""
    return ("/bin/sh", "-c", _program(name).read_text(encoding="utf-8"), *argv)


def everything(superuser: bool) -> dict[str, str]:
    """Return the variables for a service: `ENVKIT_SUPERUSER` if its clients have all rights, else no variable."""
    return {ALL: "true"} if superuser else {}
