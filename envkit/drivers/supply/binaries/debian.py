"""Takes programs from Debian's binary packages, with the shared libraries that they need and the system lacks."""

from __future__ import annotations

from pathlib import Path

from envkit.drivers.supply.binaries.apt import Apt
from envkit.drivers.supply.binaries.models import Rejected
from envkit.drivers.supply.binaries.sources import Job
from envkit.drivers.supply.binaries.store import Made


class FromPackages:
    """Downloads and unpacks the packages of a supply. It installs and starts nothing, and needs no root."""

    source = "Debian packages"

    def key(self, job: Job) -> str:
        """Return the name of the only entry of this source. Raises `Rejected` if a tool of apt is missing."""
        missing = Apt(job).missing()
        if missing:
            raise Rejected(f"this system has no {missing}")
        return "debian-packages"

    def fetch(self, job: Job, folder: Path) -> Made:
        """Unpack the newest packages that the system's apt sources have."""
        apt = Apt(job)
        apt.update()
        apt.unpack([apt.newest(pattern) for pattern in job.supply.packages], folder)
        _drop_ballast(folder)
        return Made(_programs(folder, job), library_folders(folder))


def library_folders(folder: Path) -> tuple[str, ...]:
    """Return the folders of the unpacked shared libraries, for LD_LIBRARY_PATH; none if the system has them all."""
    found = {
        path.parent.relative_to(folder).as_posix()
        for pattern in ("lib/*/*.so*", "usr/lib/*/*.so*")
        for path in folder.glob(pattern)
        if "-linux-" in path.parent.name
    }
    return tuple(sorted(found))


def _programs(folder: Path, job: Job) -> dict[str, str]:
    found = {}
    for pattern in job.supply.folders:
        for name in job.programs:
            for path in sorted(folder.glob(f"{pattern}/{name}")):
                found[name] = path.relative_to(folder).as_posix()
    return found


def _drop_ballast(folder: Path) -> None:
    """Remove PostgreSQL's JIT: the LLVM libraries are not unpacked, and without this file PostgreSQL uses no JIT."""
    for path in folder.glob("usr/lib/postgresql/*/lib/llvmjit.so"):
        path.unlink()
