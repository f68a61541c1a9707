"""Find configuration files: the main file of a request, and the files that other files and options name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from envkit.config.names import did_you_mean, made_name
from envkit.config.request import Request
from envkit.config.shipped import default_profile, is_shipped, shipped_folder

OWN_FILE = "envkit.yaml"
LOCAL_FILE = "envkit.local.yaml"


class NotFoundError(Exception):
    """There is no such file or profile; the message lists the profiles that exist."""


@dataclass(frozen=True)
class Main:
    """The main file of a configuration, the folder that the environment belongs to, and its default name."""

    file: Path
    root: Path
    name: str

    @property
    def local(self) -> Path:
        """The path of the override file in the same folder; that file is for one machine only."""
        return self.file.with_name(f"{self.file.stem}.local{self.file.suffix}")


def main_file(request: Request) -> Main:
    """Return the main file: the given file or profile, else the nearest `envkit.yaml`, else the default profile.

    The nearest `envkit.yaml` is in the working directory or in a folder above it. Raises `NotFoundError`.
    """
    if request.file:
        return _given(absolute(request.file, request.cwd))
    own = upwards(OWN_FILE, request.cwd)
    if own and not request.profile:
        return Main(own, own.parent, made_name(own.parent.name))
    profile = request.profile or default_profile()
    if _is_path(profile):
        return _given(absolute(profile, request.cwd))
    return _profile(profile, own, request)


def _given(path: Path) -> Main:
    path = path / OWN_FILE if path.is_dir() else path
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}")
    name = path.parent.name if path.name == OWN_FILE else path.stem
    return Main(path, path.parent, made_name(name))


def _profile(profile: str, own: Path | None, request: Request) -> Main:
    file = find(profile, _folders(own.parent) if own else [shipped_folder("config")])
    if not own or is_shipped(file):
        return Main(file, own.parent if own else checkout(request.cwd), made_name(profile))
    return Main(file, own.parent, made_name(profile))


def named(name: str, beside: Path, relative_to: Path, but: Path | None = None) -> Path:
    """Return the file that an `extends` or `--overlay` names; `name` is a path or a profile's name.

    A profile is searched in `beside/config`, in `beside`, and among the shipped profiles. Raises `NotFoundError`.
    """
    if not _is_path(name):
        return find(name, _folders(beside), but)
    path = absolute(name, relative_to)
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}")
    return path


def find(name: str, folders: Iterable[Path], but: Path | None = None) -> Path:
    """Return the first `NAME.yaml` in the folders. Raises `NotFoundError`.

    The result is never `but`, the file that contains the name: a file cannot refer to itself.
    """
    folders = list(dict.fromkeys(folders))
    for folder in folders:
        path = folder / f"{name}.yaml"
        if path.is_file() and path != but:
            return path
    known = _known(folders)
    raise NotFoundError(f"there is no profile '{name}'{did_you_mean(name, known) or '.'} There are: {', '.join(known)}")


def profiles(request: Request) -> list[str]:
    """Return the names of the profiles that `--profile` accepts in this working directory."""
    own = upwards(OWN_FILE, request.cwd)
    return _known(_folders(own.parent) if own else [shipped_folder("config")])


def _known(folders: Iterable[Path]) -> list[str]:
    return sorted({path.stem for folder in folders for path in folder.glob("*.yaml") if _may_be_named(path)})


def _may_be_named(path: Path) -> bool:
    return not path.stem.endswith(".local") and path.name != OWN_FILE


def _folders(beside: Path) -> list[Path]:
    return [beside / "config", beside, shipped_folder("config")]


def _is_path(name: str) -> bool:
    return "/" in name or os.sep in name or name.endswith((".yaml", ".yml"))


def absolute(written: str, folder: Path) -> Path:
    """Return the absolute path without `..`; it keeps symbolic links, so that users recognise the path in messages."""
    return Path(os.path.normpath(folder / written))


def upwards(name: str, start: Path) -> Path | None:
    """Return the nearest file of this name in the folder or above it, or None."""
    return next((folder / name for folder in _up(start) if (folder / name).is_file()), None)


def checkout(start: Path) -> Path:
    """Return the git checkout around `start`, else `start`. `.git` is a folder, or a file in a worktree."""
    return next((folder for folder in _up(start) if (folder / ".git").exists()), start)


def _up(start: Path) -> Iterator[Path]:
    yield from (start, *start.parents)
