"""The user that the service becomes where envkit is root: the service does so itself, when all of it is loaded.

Its modules, and the Python that runs it, may be where only root can read them.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module

VARIABLE = "ENVKIT_DATASTORAGE_USER"
"""`UID:GID`."""

LATE = (
    "encodings.idna",
    "pydantic._internal._dataclasses",
    "uvicorn.lifespan.off",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
    "uvloop",
    "yaml",
)
"""Modules that others import when they are first used; those that are not installed are not needed."""


def become(environ: Mapping[str, str]) -> None:
    """Become the user that the environment names; nothing happens where it names none.

    Raises ``OSError`` where that is not allowed, ``ValueError`` for anything but two numbers.
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
