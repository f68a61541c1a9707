"""Stores the SHA-256 of every file in a folder when envkit makes the folder, and checks the files later.

Hashing Kubernetes' API server takes 0.1 to 0.3 s. This is too long for every `up`. So envkit stores the result of the
check with the inode, size, times, owner and mode of every file. While these are unchanged, it does not read the files
again. The kernel updates a file's ctime at each change of the content, and a user cannot set the ctime to a chosen
time.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from envkit.base.owned import own_folder, why_not_ours
from envkit.base.paths import write_private

BYTECODE = "__pycache__"
"""Name of the folders that Python writes while a program runs; the record of a folder omits them."""

Contents = Mapping[str, str]
"""The record of a folder: maps relative paths to the SHA-256 of a file, or to `-> TARGET` for a link."""


class Altered(Exception):
    """The folder differs from its record, or another user owns or is allowed to write a file; the text says which."""


def contents(folder: Path, *, without: tuple[str, ...] = ()) -> dict[str, str]:
    """Read every file below the folder and return the folder's record, without the paths in `without`."""
    return {
        name: f"-> {Path(path).readlink()}" if stat.S_ISLNK(facts.st_mode) else digest(Path(path))
        for name, path, facts in _files(folder)
        if name not in without
    }


def must_be_intact(folder: Path, record: Contents, memo: Path, *, without: tuple[str, ...] = ()) -> None:
    """Raise `Altered` if the folder differs from its record, or another user owns or is allowed to write a file in it.

    `memo` is the file for the result of the last comparison; only the file's owner can read or write it.
    """
    _must_be_ours(folder, folder.lstat())
    identity = _identity(folder)
    if _remembered(memo) == identity:
        return
    found = contents(folder, without=without)
    if found != dict(record):
        raise Altered(_difference(folder, record, found))
    _remember(memo, identity)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record(folder: Path) -> None:
    """Write the record of a folder into a file beside the folder."""
    write_private(_beside(folder), json.dumps(contents(folder)))


def is_intact(folder: Path) -> bool:
    """Return whether the folder exists and is unchanged since `record` was called.

    Returns False as well if another user owns the folder or its record, or is allowed to write there.
    """
    try:
        beside = _beside(folder)
        if why_not_ours(folder.parent.stat()) or why_not_ours(beside.lstat()):
            return False
        must_be_intact(folder, json.loads(beside.read_text()), folder.with_name(f".{folder.name}.verified"))
    except (OSError, ValueError, TypeError, Altered):
        return False
    return True


def _beside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.files")


def open_to_all(folder: Path) -> None:
    """Set the modes of all files and folders, whatever the umask is.

    All users are allowed to read the files and to execute the programs; only the owner is allowed to write.
    """
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(0o755 if path.is_dir() or mode & stat.S_IXUSR else 0o644)


def _files(folder: Path) -> list[tuple[str, str, os.stat_result]]:
    """Return the relative name, the path and the `lstat` result of each file and link below the folder.

    Raises `Altered` at the first file or folder that another user owns or is allowed to write. It uses plain strings
    and one loop for speed: every `up` checks PostgreSQL's 800 files.
    """
    found: list[tuple[str, str, os.stat_result]] = []
    folders = [("", str(folder))]
    while folders:
        prefix, path = folders.pop()
        with os.scandir(path) as listed:
            for entry in listed:
                facts = entry.stat(follow_symlinks=False)
                _must_be_ours(entry.path, facts)
                if not stat.S_ISDIR(facts.st_mode):
                    found.append((prefix + entry.name, entry.path, facts))
                elif entry.name != BYTECODE:
                    folders.append((f"{prefix}{entry.name}/", entry.path))
    return found


def _must_be_ours(path: Path | str, facts: os.stat_result) -> None:
    if reason := why_not_ours(facts):
        raise Altered(f"{path} {reason}")


def _identity(folder: Path) -> str:
    rows = [
        f"{name}\0{it.st_ino} {it.st_size} {it.st_mtime_ns} {it.st_ctime_ns} {it.st_mode} {it.st_uid}"
        for name, _, it in _files(folder)
    ]
    return hashlib.sha256("\n".join(sorted(rows)).encode(errors="surrogateescape")).hexdigest()


def _difference(folder: Path, record: Contents, found: Contents) -> str:
    if lost := sorted(set(record) - set(found)):
        return f"{folder / lost[0]} is missing"
    if added := sorted(set(found) - set(record)):
        return f"{folder / added[0]} was put there by something else"
    changed = next(name for name in sorted(record) if record[name] != found[name])
    return f"{folder / changed} has another SHA-256 than when it was fetched"


def _remembered(memo: Path) -> str:
    try:
        facts = memo.lstat()
        return "" if why_not_ours(facts) or not stat.S_ISREG(facts.st_mode) else memo.read_text()
    except (OSError, ValueError):
        return ""


def _remember(memo: Path, identity: str) -> None:
    from envkit.base.errors import EnvironmentFailed

    try:
        own_folder(memo.parent)
        write_private(memo, identity)
    except (OSError, EnvironmentFailed):
        return  # without the memo the next check only takes longer
