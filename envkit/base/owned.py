"""Folders with programs that envkit executes: only the folder's owner and root are allowed to write to them."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from envkit.base.errors import EnvironmentFailed

WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def why_not_ours(facts: os.stat_result) -> str:
    """Return why the content cannot be trusted (another user owns it or can write to it), or an empty string.

    The mode of a symbolic link has no effect, so it is not checked; the code that uses the target checks the target.
    """
    if facts.st_uid and facts.st_uid != os.geteuid():
        return f"belongs to user {facts.st_uid}, not to you"
    if facts.st_mode & WRITABLE_BY_OTHERS and not stat.S_ISLNK(facts.st_mode):
        return f"can be written by other users (mode {stat.S_IMODE(facts.st_mode):04o})"
    return ""


def own_folder(path: Path, mode: int = 0o755) -> Path:
    """Create the folder and its missing parents with this mode, independent of the umask, and return the folder.

    If the folder belongs to this user and other users could write to it, the function restores the mode and removes
    the content, because another user may have added files. Raises `EnvironmentFailed` if the folder belongs to another
    user, or if it belongs to root and other users can write to it. Raises `OSError` if it cannot be created.
    """
    for folder in reversed([one for one in (path, *path.parents) if not one.exists()]):
        folder.mkdir(mode=mode, exist_ok=True)
        folder.chmod(mode)
    facts = path.stat()
    if facts.st_uid not in (os.geteuid(), 0) or (facts.st_mode & WRITABLE_BY_OTHERS and not _is_mine(facts)):
        raise EnvironmentFailed(
            f"{path} {why_not_ours(facts)}", hint="name another folder with ENVKIT_CACHE_DIR, or remove this one"
        )
    if facts.st_mode & WRITABLE_BY_OTHERS:
        path.chmod(mode)
        _empty(path)
    return path


def _is_mine(facts: os.stat_result) -> bool:
    return facts.st_uid == os.geteuid()


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
