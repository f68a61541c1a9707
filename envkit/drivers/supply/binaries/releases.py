"""The official releases: etcd's archives, Kubernetes' own binaries, and for macOS the archives made for envtest.

Redis and PostgreSQL publish sources only. `ENVKIT_MIRROR_ETCD`, `ENVKIT_MIRROR_KUBERNETES` and `ENVKIT_MIRROR_ENVTEST`
replace the addresses below, for a mirror with the same layout: https, http or file, for each file is compared with a
digest that no server is asked for (see `pins`). What concerns macOS and arm64 is written from the projects' own
documentation and was never run on such a machine.
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
"""Version and host -> the path of envtest's archive on its server."""

SOURCE = "official release"


def mirror(variable: str, environ: Mapping[str, str]) -> str:
    """The base address, without a slash at its end."""
    return (environ.get(variable) or MIRRORS[variable]).rstrip("/")


class Release:
    """What the releases share: which version is asked for, and the entry's name."""

    source = SOURCE

    def __init__(self, http: Http | None = None) -> None:
        self._http = http

    def http(self, job: Job) -> Http:
        """The injected client, else one with the job's proxy settings."""
        return self._http or Http(job.environ)

    def get(self, job: Job, variable: str, path: str, what: str) -> Path:
        """Download the file at that path of a mirror, compare it with its digest, and return where it is."""
        digest = Digests.of(job.environ).of_file(path)
        url = f"{mirror(variable, job.environ)}/{path}"
        return self.http(job).file(url, digest, job.work, what=what, report=job.report, cancel=job.cancel)

    def version(self, job: Job) -> Version:
        """The version asked for, else the pinned one, else the minimum where it is newer and names a release."""
        pinned, minimum = job.supply.release, job.wanted.minimum
        chosen = job.wanted.version or pinned
        if chosen is None:
            raise Rejected("publishes no binaries")
        if job.wanted.version is None and minimum and len(minimum.parts) == 3 and not chosen.at_least(minimum):
            chosen = minimum
        if len(chosen.parts) == 3:
            must_suit(job.wanted, chosen, "what would be fetched")
        return chosen

    def key(self, job: Job) -> str:
        """Named after the version; a completing download is an entry of its own."""
        return f"release-{self.version(job)}{job.suffix}"


class EtcdRelease(Release):
    """etcd's archive."""

    def fetch(self, job: Job, folder: Path) -> Made:
        """Download and keep the one program."""
        version = self.version(job)
        name = f"etcd-v{version}-{job.host}.{'zip' if job.host.os == 'darwin' else 'tar.gz'}"
        archive = self.get(job, "ENVKIT_MIRROR_ETCD", f"v{version}/{name}", f"etcd {version}")
        unpack(archive, job.programs, folder, zipped=name.endswith(".zip"))
        archive.unlink()
        return _made(folder, job)


class KubernetesRelease(Release):
    """Kubernetes' binaries, one file each; for macOS, which has none, envtest's archive without controller manager."""

    def fetch(self, job: Job, folder: Path) -> Made:
        """Download what is asked for."""
        version = self._whole(job)
        must_suit(job.wanted, version, "its newest patch")
        fetch = self._archive if job.host.os == "darwin" else self._files
        fetch(job, version, folder)
        return _made(folder, job)

    def _whole(self, job: Job) -> Version:
        """`1.34` becomes the newest patch whose digests are known."""
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
    """Take the programs out of the archive, by their last name, whatever folder they are in there."""
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
        raise Rejected(f"the release holds none of {', '.join(job.programs)}")
    return Made(present)
