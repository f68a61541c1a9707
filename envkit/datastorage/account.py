"""Changes the user of the service's process.

If envkit runs as root, it starts the service as root, and names the new user in an environment variable (`VARIABLE`).

The service changes its user itself, after it has loaded all modules, because perhaps only root can read the
modules and the Python that runs them.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module

VARIABLE = "ENVKIT_DATASTORAGE_USER"
"""The environment variable with the user to change to, as `UID:GID`."""

LATE = (
    "encodings.idna",
    "pydantic._internal._dataclasses",
    "uvicorn.lifespan.off",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
    "uvloop",
    "yaml",
)
"""Modules that libraries import only at first use; the service imports them before it changes the user.

A module that is not installed is not needed.
"""


def become(environ: Mapping[str, str]) -> None:
    """Change the process's user to the one that ``environ`` names; do nothing if it does not name a user.

    Raises ``OSError`` if the system does not allow the change, ``ValueError`` if the variable is not two numbers.
    """
    if VARIABLE not in environ:
        return
    for name in LATE:
        with suppress(ImportError):
            import_module(name)
    uid, gid = map(int, environ[VARIABLE].split(":"))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
