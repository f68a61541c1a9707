"""Changes the user of the service's process. If envkit is root, it starts the service as root and names that user.

The service changes its user itself, after it has loaded all modules, because only root may be able to read the
modules and the Python that runs them.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module

VARIABLE = "ENVKIT_DATASTORAGE_USER"
"""The environment variable with the user to become, as `UID:GID`."""

LATE = (
    "encodings.idna",
    "pydantic._internal._dataclasses",
    "uvicorn.lifespan.off",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
    "uvloop",
    "yaml",
)
"""Modules that libraries import only at first use. A module that is not installed is not needed."""


def become(environ: Mapping[str, str]) -> None:
    """Change the process's user to the one that ``environ`` names; do nothing if it names none.

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
