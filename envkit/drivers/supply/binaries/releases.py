"""Fetches official releases: etcd's archives, Kubernetes' binaries, and for macOS the archives made for envtest.

Redis and PostgreSQL publish only source code. `ENVKIT_MIRROR_ETCD`, `ENVKIT_MIRROR_KUBERNETES` and
`ENVKIT_MIRROR_ENVTEST` replace the addresses below with a mirror of the same layout. A mirror is allowed to use https,
http or file, because envkit compares each file with a digest from the repository or the user (see `pins`). The parts
for macOS and arm64 follow the projects' documentation and have never run on such a host.
"""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from envkit.drivers.supply.binaries.download import Http
from envkit.drivers.supply.binaries.models import Rejected, Version
from envkit.drivers.supply.binaries.pins import Digests
from envkit.drivers.supply.binaries.sources import Job
from envkit.drivers.supply.binaries.store import Made
from envkit.drivers.supply.binaries.validate import must_suit

MIRRORS = {
    "ENVKIT_MIRROR_ETCD": "https://github.com/etcd-io/etcd/releases/download",
    "ENVKIT_MIRROR_KUBERNETES": "https://dl.k8s.io/release",
    "ENVKIT_MIRROR_ENVTEST": "https://github.com/kubernetes-sigs/controller-tools/releases/download",
}

ARCHIVES = "envtest-v{0}/envtest-v{0}-{1}.tar.gz"
"""Path of envtest's archive on the server: {0} is the version, {1} is the system and architecture of the host."""

SOURCE = "official release"


def mirror(variable: str, environ: Mapping[str, str]) -> str:
    """Return the mirror's base address, or else the official server's, without a slash at the end."""
    return (environ.get(variable) or MIRRORS[variable]).rstrip("/")


class Release:
    """Base class of the releases: selects the version, names the folder in the cache, downloads a file."""

    source = SOURCE

    def __init__(self, http: Http | None = None) -> None:
        self._http = http

    def http(self, job: Job) -> Http:
        """Return the client that the constructor got, or a new one with the job's proxy settings."""
        return self._http or Http(job.environ)

    def get(self, job: Job, variable: str, path: str, what: str) -> Path:
        """Download the file at this path of the mirror or server, check its digest, and return the local path."""
        digest = Digests.of(job.environ).of_file(path)
        url = f"{mirror(variable, job.environ)}/{path}"
        return self.http(job).file(url, digest, job.work, what=what, report=job.report, cancel=job.cancel)

    def version(self, job: Job) -> Version:
        """Return the version to fetch: the requested version, or else the pinned version.

        If none is requested, the pinned version is older than the minimum, and the minimum has three numbers, it
        returns the minimum. Raises `Rejected` if no release suits.
        """
        pinned, minimum = job.supply.release, job.wanted.minimum
        chosen = job.wanted.version or pinned
        if chosen is None:
            raise Rejected("publishes no binaries")
        if job.wanted.version is None and minimum and len(minimum.parts) == 3 and not chosen.at_least(minimum):
            chosen = minimum
        if len(chosen.parts) == 3:
            must_suit(job.wanted, chosen, "the version to fetch")
        return chosen

    def key(self, job: Job) -> str:
        """Return the key of the programs in envkit's cache: the version, and `-rest` if the job completes a set."""
        return f"release-{self.version(job)}{job.suffix}"


class EtcdRelease(Release):
    """Fetches etcd's archive."""

    def fetch(self, job: Job, folder: Path) -> Made:
        """Download the archive and extract the archive's programs into the folder."""
        version = self.version(job)
        name = f"etcd-v{version}-{job.host}.{'zip' if job.host.os == 'darwin' else 'tar.gz'}"
        archive = self.get(job, "ENVKIT_MIRROR_ETCD", f"v{version}/{name}", f"etcd {version}")
        unpack(archive, job.programs, folder, zipped=name.endswith(".zip"))
        archive.unlink()
        return _made(folder, job)


class KubernetesRelease(Release):
    """Fetches Kubernetes' binaries, one file each.

    Kubernetes publishes no server binaries for macOS. On macOS it fetches envtest's archive instead, which does not
    contain the controller manager.
    """

    def fetch(self, job: Job, folder: Path) -> Made:
        """Download the job's programs into the folder."""
        version = self._whole(job)
        must_suit(job.wanted, version, "its newest patch")
        fetch = self._archive if job.host.os == "darwin" else self._files
        fetch(job, version, folder)
        return _made(folder, job)

    def _whole(self, job: Job) -> Version:
        """Return the version to download, always with three numbers: for `1.34`, the newest patch that has a digest."""
        version = self.version(job)
        if len(version.parts) == 3:
            return version
        path = ARCHIVES.format("{}", job.host) if job.host.os == "darwin" else _path("{}", job, job.supply.main)
        return Digests.of(job.environ).newest(version, path)

    def _files(self, job: Job, version: Version, folder: Path) -> None:
        for program in job.programs:
            path = self.get(job, "ENVKIT_MIRROR_KUBERNETES", _path(version, job, program), f"{program} {version}")
            shutil.move(path, folder / program)
            (folder / program).chmod(0o755)

    def _archive(self, job: Job, version: Version, folder: Path) -> None:
        if job.supply.main not in job.programs:
            raise Rejected(f"there is no {', '.join(job.programs)} for macOS")
        path = ARCHIVES.format(version, job.host)
        archive = self.get(job, "ENVKIT_MIRROR_ENVTEST", path, f"Kubernetes {version}")
        unpack(archive, job.programs, folder)
        archive.unlink()


def _path(version: Version | str, job: Job, program: str) -> str:
    return f"v{version}/bin/{job.host.os}/{job.host.arch}/{program}"


def unpack(archive: Path, programs: tuple[str, ...], folder: Path, *, zipped: bool = False) -> None:
    """Extract the programs into the folder. They can be in any folder of the archive."""
    if zipped:
        with zipfile.ZipFile(archive) as bundle:
            for member in bundle.namelist():
                if (name := PurePosixPath(member).name) in programs:
                    with bundle.open(member) as source, (folder / name).open("wb") as target:
                        shutil.copyfileobj(source, target)
    else:
        with tarfile.open(archive) as bundle:
            for entry in bundle:
                if (name := PurePosixPath(entry.name).name) in programs and (content := bundle.extractfile(entry)):
                    with content, (folder / name).open("wb") as target:
                        shutil.copyfileobj(content, target)
    for path in folder.iterdir():
        path.chmod(0o755)


def _made(folder: Path, job: Job) -> Made:
    present = {name: name for name in job.programs if (folder / name).is_file()}
    if not present:
        raise Rejected(f"the release has none of {', '.join(job.programs)}")
    return Made(present)
