"""Where envkit keeps what is its own: one folder an environment in the user's state directory."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
"""The folder of the package envkit."""


def state_home(environ: dict[str, str] | os._Environ[str]) -> Path:
    """`$ENVKIT_STATE_DIR`, else the platform's state directory."""
    if environ.get("ENVKIT_STATE_DIR"):
        return Path(environ["ENVKIT_STATE_DIR"]).absolute()
    import platformdirs

    return Path(platformdirs.user_state_dir("envkit"))


def cache_home(environ: dict[str, str] | os._Environ[str]) -> Path:
    """`$ENVKIT_CACHE_DIR`, else the platform's cache directory."""
    if environ.get("ENVKIT_CACHE_DIR"):
        return Path(environ["ENVKIT_CACHE_DIR"]).absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("envkit"))


@dataclass(frozen=True)
class Paths:
    """The files of one environment; all of them can be lost without `down` losing its way."""

    home: Path
    name: str

    @property
    def folder(self) -> Path:
        """Everything of this environment, mode 0700."""
        return self.home / self.name

    @property
    def state(self) -> Path:
        """What was brought up, a cache."""
        return self.folder / "state.json"

    @property
    def begun(self) -> Path:
        """Who holds the folder, and on which engine things were made: see `inventory.state.Begun`."""
        return self.folder / "owner.json"

    @property
    def lock(self) -> Path:
        """Held while the environment is changed; outside the folder, which `down` removes."""
        return self.home / ".locks" / self.name

    @property
    def kubeconfig(self) -> Path:
        """The admin kubeconfig as seen from the host, mode 0600."""
        return self.folder / "kubeconfig"

    @property
    def tokens(self) -> Path:
        """One file for each identity's token, mode 0600."""
        return self.folder / "tokens"

    @property
    def services(self) -> Path:
        """Folders of services that run as processes.

        Root's state directory is closed to the users that services then run as; `/var/tmp` is not.
        """
        return Path(f"/var/tmp/envkit-{self.name}") if os.getuid() == 0 else self.folder / "services"  # noqa: S108  see above; mode 0711

    @property
    def logs(self) -> Path:
        """Logs saved from failures; kept after `down`."""
        return self.home / "logs" / self.name

    @property
    def runs(self) -> Path:
        """What each `run` left: see `watch.folder`; kept after `down`."""
        return self.home / "runs" / self.name

    @property
    def timings(self) -> Path:
        """Where the time of the last `up` went: see `timings`; kept after `down`."""
        return self.home / "timings" / f"{self.name}.json"

    @property
    def evidence(self) -> Path:
        """What was gathered of failures; kept after `down`."""
        return self.home / "evidence" / self.name

    def make(self) -> None:
        """Create the folder for the user alone."""
        make_folder(self.folder)
        self.folder.chmod(0o700)


def _beside(path: Path) -> Path:
    """A name that no other process or thread writes to."""
    return path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.new")


def make_folder(folder: Path, mode: int = 0o700) -> None:
    """Make the folder, and each one above it that is missing, with this mode whatever the umask.

    A folder that is there keeps its mode.
    """
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        with suppress(FileExistsError):  # another envkit was quicker
            path.mkdir(mode=mode)
            path.chmod(mode)


def append_private(path: Path) -> int:
    """A descriptor that appends to the file, which is made with mode 0600 whatever the umask; never through a link."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(path, flags, 0o600)
    os.fchmod(handle, 0o600)
    return handle


def write_private(path: Path, text: str) -> None:
    """Write beside, then replace, mode 0600 from the first byte on."""
    make_folder(path.parent)
    beside = _beside(path)
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    beside.replace(path)


def replace_file(path: Path, content: bytes) -> None:
    """Other content under the same name, owner and mode, at once: whoever reads finds the old or the new one."""
    before = path.stat()
    beside = _beside(path)
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        if (before.st_uid, before.st_gid) != (os.getuid(), os.getgid()):
            os.fchown(file.fileno(), before.st_uid, before.st_gid)
        os.fchmod(file.fileno(), before.st_mode & 0o7777)
    beside.replace(path)
