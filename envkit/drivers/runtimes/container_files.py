"""Reads and writes files of containers with the engine's archive API, which works on stopped containers too."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from envkit.base.errors import EngineError
from envkit.drivers.engine import file_owners
from envkit.drivers.engine.sdk import pack, pack_in_place, text, translated, unpack_one, unpack_with_head

if TYPE_CHECKING:
    from docker import APIClient

    from envkit.config.models import Service


def read(api: APIClient, container: str, path: str) -> bytes | None:
    """Return a file's content, or None if the file or the container does not exist."""
    try:
        with translated(f"reading {path} in {container}"):
            stream, _ = api.get_archive(container, path)
            return unpack_one(stream)
    except EngineError as error:
        if _is_missing(error):
            return None
        raise


def write(api: APIClient, container: str, path: str, content: bytes) -> None:
    """Write a file (root, 0644) into a container."""
    from envkit.config.models import File

    with translated(f"writing {path} in {container}"):
        api.put_archive(container, "/", pack([File(path=path, content=content.decode())]))


def rewrite(api: APIClient, container: str, path: str, content: bytes, check: Callable[[], None]) -> bool:
    """Replace the content of a file and keep its owner and mode; return whether the content changed.

    This calls `check` before a change; an exception of `check` prevents the change. Returns False if the file or the
    container does not exist.
    """
    try:
        with translated(f"renewing {path} in {container}"):
            stream, _ = api.get_archive(container, path)
            old, head = unpack_with_head(stream)
            if old == content:
                return False
            check()
            api.put_archive(container, "/", pack_in_place(path, content, head))
    except EngineError as error:
        if _is_missing(error):
            return False
        raise
    return True


def default_owner(api: APIClient, container: str, service: Service) -> str:
    """Return the user of the container's programs as uid or uid:gid. It owns files without a configured owner."""
    if all(file.owner is not None for file in service.files):
        return file_owners.ROOT
    user = service.user or api.inspect_container(container)["Config"].get("User") or file_owners.ROOT
    return file_owners.numbered(str(user), lambda: text(read(api, container, file_owners.PASSWD)))


def _is_missing(error: EngineError) -> bool:
    from docker.errors import NotFound

    return isinstance(error.__cause__, NotFound)
