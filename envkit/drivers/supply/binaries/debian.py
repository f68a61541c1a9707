"""Takes programs from Debian's binary packages, with the shared libraries that they need and the system lacks."""

from __future__ import annotations

from pathlib import Path

from envkit.drivers.supply.binaries.apt import Apt
from envkit.drivers.supply.binaries.models import Rejected
from envkit.drivers.supply.binaries.sources import Job
from envkit.drivers.supply.binaries.store import Made


class FromPackages:
    """Downloads and unpacks the packages of a supply. It installs and starts nothing, and needs no root rights."""

    source = "Debian packages"

    def key(self, job: Job) -> str:
        """Return the key of the programs in envkit's cache. Raises `Rejected` if one of apt's tools is missing."""
        missing = Apt(job).missing()
        if missing:
            raise Rejected(f"this system has no {missing}")
        return "debian-packages"

    def fetch(self, job: Job, folder: Path) -> Made:
        """Unpack the newest packages that the system's apt sources offer, and return the paths of their programs."""
        apt = Apt(job)
        apt.update()
        apt.unpack([apt.newest(pattern) for pattern in job.supply.packages], folder)
        _drop_ballast(folder)
        return Made(_programs(folder, job), library_folders(folder))


def library_folders(folder: Path) -> tuple[str, ...]:
    """Return the folders of the unpacked shared libraries, for LD_LIBRARY_PATH.

    The result is empty if no library was unpacked, because the system has them all.
    """
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
    """Remove the file of PostgreSQL's JIT, which needs the LLVM libraries: envkit does not unpack these.

    Without this file PostgreSQL does not use its JIT.
    """
    for path in folder.glob("usr/lib/postgresql/*/lib/llvmjit.so"):
        path.unlink()
