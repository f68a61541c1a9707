"""Folders that hold what envkit executes: only their owner, or root, may write them."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from envkit.base.errors import EnvironmentFailed

WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def why_not_ours(facts: os.stat_result) -> str:
    """Return why the content cannot be trusted: another user owns it or may write it. Empty where neither is so.

    The mode of a symbolic link means nothing; its target is checked where it is used.
    """
    if facts.st_uid and facts.st_uid != os.geteuid():
        return f"belongs to user {facts.st_uid}, not to you"
    if facts.st_mode & WRITABLE_BY_OTHERS and not stat.S_ISLNK(facts.st_mode):
        return f"can be written by other users (mode {stat.S_IMODE(facts.st_mode):04o})"
    return ""


def own_folder(path: Path, mode: int = 0o755) -> Path:
    """Make the folder and the missing ones above it with this mode, whatever the umask is, and return it.

    A folder of ours that others could write is emptied, because they may have put something into it, and closed.
    Raises `EnvironmentFailed` where the folder is another user's, `OSError` where it cannot be made.
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
