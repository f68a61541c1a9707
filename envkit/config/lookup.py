"""Which file is meant: the main one, and the ones that others name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from envkit.config.names import did_you_mean, made_name
from envkit.config.request import Request
from envkit.config.shipped import default_profile, is_shipped, shipped

OWN_FILE = "envkit.yaml"
LOCAL_FILE = "envkit.local.yaml"


class NotFoundError(Exception):
    """No such file; the message names the candidates."""


@dataclass(frozen=True)
class Main:
    """The file that everything starts from; `root` is who holds the environment, `name` its name by default."""

    file: Path
    root: Path
    name: str

    @property
    def local(self) -> Path:
        """The override beside it, for one machine and never committed."""
        return self.file.with_name(f"{self.file.stem}.local{self.file.suffix}")


def main_file(request: Request) -> Main:
    """Return the file given, else the profile, else the nearest `envkit.yaml` upwards, else the default profile."""
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
    file = find(profile, _folders(own.parent) if own else [shipped("config")])
    if not own or is_shipped(file):
        return Main(file, own.parent if own else checkout(request.cwd), made_name(profile))
    return Main(file, own.parent, made_name(profile))


def named(name: str, beside: Path, relative_to: Path, but: Path | None = None) -> Path:
    """The file that an `extends` or `--overlay` names: a path, or a name in `beside`, its config/, or shipped."""
    if not _is_path(name):
        return find(name, _folders(beside), but)
    path = absolute(name, relative_to)
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}")
    return path


def find(name: str, folders: Iterable[Path], but: Path | None = None) -> Path:
    """The first `NAME.yaml` of the folders; `but` is the file that asks, which never means itself."""
    folders = list(dict.fromkeys(folders))
    for folder in folders:
        path = folder / f"{name}.yaml"
        if path.is_file() and path != but:
            return path
    known = _known(folders)
    raise NotFoundError(f"there is no profile '{name}'{did_you_mean(name, known) or '.'} There are: {', '.join(known)}")


def profiles(request: Request) -> list[str]:
    """Names that `--profile` may have here."""
    own = upwards(OWN_FILE, request.cwd)
    return _known(_folders(own.parent) if own else [shipped("config")])


def _known(folders: Iterable[Path]) -> list[str]:
    return sorted({path.stem for folder in folders for path in folder.glob("*.yaml") if _may_be_named(path)})


def _may_be_named(path: Path) -> bool:
    return not path.stem.endswith(".local") and path.name != OWN_FILE


def _folders(beside: Path) -> list[Path]:
    return [beside / "config", beside, shipped("config")]


def _is_path(name: str) -> bool:
    return "/" in name or os.sep in name or name.endswith((".yaml", ".yml"))


def absolute(written: str, folder: Path) -> Path:
    """The path without `..`; symbolic links stay, because people recognise the path they wrote."""
    return Path(os.path.normpath(folder / written))


def upwards(name: str, start: Path) -> Path | None:
    """The nearest file of this name in the folder or above it."""
    return next((folder / name for folder in _up(start) if (folder / name).is_file()), None)


def checkout(start: Path) -> Path:
    """The git checkout that `start` is in (a worktree's `.git` is a file), else `start`."""
    return next((folder for folder in _up(start) if (folder / ".git").exists()), start)


def _up(start: Path) -> Iterator[Path]:
    yield from (start, *start.parents)
