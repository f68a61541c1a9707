"""Paths of envkit's own files; each environment has a folder in the user's state directory."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
"""The folder of the package envkit."""


def state_home(environ: dict[str, str] | os._Environ[str]) -> Path:
    """Return the state directory: `$ENVKIT_STATE_DIR`, else the platform's default."""
    if environ.get("ENVKIT_STATE_DIR"):
        return Path(environ["ENVKIT_STATE_DIR"]).absolute()
    import platformdirs

    return Path(platformdirs.user_state_dir("envkit"))


def cache_home(environ: dict[str, str] | os._Environ[str]) -> Path:
    """Return the cache directory: `$ENVKIT_CACHE_DIR`, else the platform's default."""
    if environ.get("ENVKIT_CACHE_DIR"):
        return Path(environ["ENVKIT_CACHE_DIR"]).absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("envkit"))


@dataclass(frozen=True)
class Paths:
    """The files of one environment. `down` works even if all of them are lost."""

    home: Path
    name: str

    @property
    def folder(self) -> Path:
        """The folder with the environment's files, mode 0700."""
        return self.home / self.name

    @property
    def state(self) -> Path:
        """The file that records what `up` started. It is only a cache."""
        return self.folder / "state.json"

    @property
    def begun(self) -> Path:
        """The file that names the owner of `folder` and the engine that is used, see `inventory.state.Begun`."""
        return self.folder / "owner.json"

    @property
    def lock(self) -> Path:
        """The lock file for changes of the environment. It is outside `folder`, because `down` removes `folder`."""
        return self.home / ".locks" / self.name

    @property
    def kubeconfig(self) -> Path:
        """The admin kubeconfig for use on the host, mode 0600."""
        return self.folder / "kubeconfig"

    @property
    def tokens(self) -> Path:
        """The folder with one token file for each identity; the files have mode 0600."""
        return self.folder / "tokens"

    @property
    def services(self) -> Path:
        """The folder that contains one folder for each service that runs as a process.

        If envkit runs as root, it starts services as other users. Those users cannot enter root's state directory, so
        the folder is then in `/var/tmp`.
        """
        return Path(f"/var/tmp/envkit-{self.name}") if os.getuid() == 0 else self.folder / "services"  # noqa: S108  see above; mode 0711

    @property
    def logs(self) -> Path:
        """The folder with logs from failures; `down` keeps it."""
        return self.home / "logs" / self.name

    @property
    def runs(self) -> Path:
        """The folder with the files of each `run`, see `watch.folder`; `down` keeps it."""
        return self.home / "runs" / self.name

    @property
    def timings(self) -> Path:
        """The file with the durations of the last `up`, see `timings`; `down` keeps it."""
        return self.home / "timings" / f"{self.name}.json"

    @property
    def evidence(self) -> Path:
        """The folder with the evidence of failures; `down` keeps it."""
        return self.home / "evidence" / self.name

    def make(self) -> None:
        """Create the folder so that only the user can enter it."""
        make_folder(self.folder)
        self.folder.chmod(0o700)


def _beside(path: Path) -> Path:
    """Return a path in the folder of `path` that no other process or thread uses."""
    return path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.new")


def make_folder(folder: Path, mode: int = 0o700) -> None:
    """Create the folder and its missing parents with this mode, independent of the umask.

    A folder that exists keeps its mode.
    """
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        with suppress(FileExistsError):  # another envkit process created it first
            path.mkdir(mode=mode)
            path.chmod(mode)


def append_private(path: Path) -> int:
    """Return a file descriptor that appends to the file. Raises `OSError`, also if the path is a symbolic link.

    The file gets mode 0600, independent of the umask.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(path, flags, 0o600)
    os.fchmod(handle, 0o600)
    return handle


def write_private(path: Path, text: str) -> None:
    """Write the text to a new file beside `path`, with mode 0600 from the start, then replace `path` with it."""
    make_folder(path.parent)
    beside = _beside(path)
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    beside.replace(path)


def replace_file(path: Path, content: bytes) -> None:
    """Replace the content of the file atomically; the file keeps its name, owner and mode.

    A reader finds either the old or the new content, never a part.
    """
    before = path.stat()
    beside = _beside(path)
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        if (before.st_uid, before.st_gid) != (os.getuid(), os.getgid()):
            os.fchown(file.fileno(), before.st_uid, before.st_gid)
        os.fchmod(file.fileno(), before.st_mode & 0o7777)
    beside.replace(path)
