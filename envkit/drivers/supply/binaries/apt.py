"""Downloads and unpacks Debian packages without installing them, with apt-get and `dpkg-deb -x`.

apt-get runs with separate lists and caches, so any user can do this. envkit reads the system's apt state and never
changes it. The packages come from the sources that the system's apt configuration names. apt checks the signature of
the lists with its keyring. envkit then compares every downloaded file with the SHA-256 in these lists, before it
unpacks or compiles the file. It uses no other file in the download folder.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

from envkit.base.commands import CommandFailed, Finished, run
from envkit.base.errors import EnvironmentFailed, NotReady
from envkit.drivers.supply.binaries.index import Listed, downloaded, packages, sources
from envkit.drivers.supply.binaries.locks import held
from envkit.drivers.supply.binaries.models import Rejected, Version
from envkit.drivers.supply.binaries.sources import Job

UPDATE_SECONDS = 180.0
"""Time limit for fetching the package lists. They are 10 MB together; fetching them took 7 to 12 s when measured."""

DOWNLOAD_SECONDS = 600.0
"""Time limit for one set of packages: PostgreSQL is 19 MB, Kubernetes' source is 30 MB, Go's compiler is 80 MB."""

FRESH = 86400.0
"""Age in seconds at which lists are fetched again: mirrors delete superseded files after some time."""

TOOLS = ("apt-get", "apt-cache", "apt-config", "dpkg-deb")

_NEVER = re.compile(r"^(libc6|libc-bin|libcrypt1|libllvm.*|libz3.*)$|-(dev|doc|perl|dbg|dbgsym)$")
"""Packages that are never unpacked. The C library must be the system's; LLVM (110 MB) serves only PostgreSQL's JIT."""


@dataclass(frozen=True)
class Deb:
    """A binary package that apt would download."""

    name: str
    version: str


def is_needed(name: str, wanted: Sequence[str]) -> bool:
    """Return whether to unpack a package: it is one of `wanted`, or a shared library outside `_NEVER`."""
    return name in wanted or (name.startswith(("lib", "lua-")) and not _NEVER.search(name))


def planned(uris: str) -> list[Deb]:
    """Return the packages in the output of `apt-get --print-uris`.

    Its lines have the form `'URI' name_version_arch.deb size hash`.
    """
    rows = (line.split() for line in uris.splitlines() if line.startswith("'"))
    files = [unquote(row[1]) for row in rows if len(row) >= 3 and row[1].endswith(".deb")]
    return [Deb(*file.split("_")[:2]) for file in files if file.count("_") == 2]


def with_sources(text: str, *, stanzas: bool) -> str:
    """Return the text of an apt sources file with source packages added.

    `stanzas` is true for the newer file format, and false for the format with one line per source.
    """
    if stanzas:
        return re.sub(r"(?mi)^Types:.*$", "Types: deb deb-src", text)
    lines = [line for line in text.splitlines() if line.startswith("deb ")]
    return "\n".join(line for deb in lines for line in (deb, deb.replace("deb ", "deb-src ", 1))) + "\n"


class Apt:
    """Runs apt's tools with a state folder that is separate from the system's, and that all fetches share."""

    def __init__(self, job: Job, *, sources: bool = False) -> None:
        self._root = job.shared / ("apt-sources" if sources else "apt")
        self._debs = job.work / "debs"
        self._environ = {**job.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
        self._report, self._cancel = job.report, job.cancel
        self._sources = sources

    def missing(self) -> str:
        """Return the first of apt's tools that is not on PATH, or an empty string if all are installed."""
        path = self._environ.get("PATH")
        return next(
            (tool for tool in ("apt-get", "apt-cache", "apt-config", "dpkg-deb") if not shutil.which(tool, path=path)),
            "",
        )

    def update(self) -> None:
        """Fetch the package lists if they are older than a day.

        A source that does not answer is not an error if other lists exist. Raises `Rejected` if no list exists, and if
        another envkit holds the lock for longer than `UPDATE_SECONDS`.
        """
        try:
            self._update_once()
        except NotReady as error:
            raise Rejected(error.message) from error

    def _update_once(self) -> None:
        with held(self._root / "lock", "package lists", self._report, self._cancel, UPDATE_SECONDS):
            stamp = self._root / "fresh"
            if stamp.exists() and 0 <= time.time() - stamp.stat().st_mtime < FRESH:
                return
            self._report("fetching the package lists")
            self._lay_out()
            done = self._run("apt-get", "update", seconds=UPDATE_SECONDS, check=False)
            if not any((self._root / "state" / "lists").glob("*Packages*")):
                raise Rejected(f"no package lists could be fetched: {_error_in(done.output)}")
            stamp.touch()

    def newest(self, pattern: str) -> str:
        """Replace `*` in a pattern such as `postgresql-*` with the highest number in the package lists.

        Returns a name without `*` unchanged. Raises `Rejected` if no package matches.
        """
        if "*" not in pattern:
            return pattern
        prefix, _, suffix = pattern.partition("*")
        names = self._run("apt-cache", "pkgnames", prefix).output.split()
        numbered = [re.fullmatch(re.escape(prefix) + r"(\d+)" + re.escape(suffix), name) for name in names]
        numbers = [int(match[1]) for match in numbered if match]
        if not numbers:
            raise Rejected(f"the package lists have no {pattern}")
        return f"{prefix}{max(numbers)}{suffix}"

    def unpack(self, names: Sequence[str], folder: Path) -> list[Deb]:
        """Unpack the packages into the folder, with the shared libraries that they need and the system lacks.

        The named packages are always unpacked, even if the system has them installed. Returns all packages that were
        unpacked. Raises `Rejected` if apt fails, or if it cannot download one of the named packages.
        """
        done = self._run("apt-get", "install", "--print-uris", "-qq", "--reinstall", "--no-install-recommends", *names)
        debs = [deb for deb in planned(done.output) if is_needed(deb.name, names)]
        if lost := set(names) - {deb.name for deb in debs}:
            raise Rejected(f"apt has no download for {', '.join(sorted(lost))}")
        self._download(debs, folder)
        return debs

    def unpack_alone(self, names: Sequence[str], folder: Path) -> None:
        """Unpack only the named packages into the folder, without dependencies, even if the system has them."""
        shown = self._run("apt-cache", "show", "--no-all-versions", *names).output
        self._download([Deb(one.package, one.version) for one in packages(shown)], folder)

    def _download(self, debs: Sequence[Deb], folder: Path) -> None:
        aside = self._debs
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        self._report(f"downloading {', '.join(deb.name for deb in debs)}")
        names = [f"{deb.name}={deb.version}" for deb in debs]
        listed = {one.file: one for one in packages(self._run("apt-cache", "show", *names).output)}
        self._run("apt-get", "download", *names, cwd=aside, seconds=DOWNLOAD_SECONDS)
        folder.mkdir(parents=True, exist_ok=True)
        for deb in debs:
            self._run("dpkg-deb", "-x", str(_checked(deb, listed, aside)), str(folder), plain=True)
        shutil.rmtree(aside)

    def source(self, package: str, upstream: Version, folder: Path) -> Path:
        """Download upstream's archive of a source package and return the path of the archive.

        envkit does not need Debian's part of the package, and some mirrors lack it. Raises `Rejected` if the lists do
        not have this version, if apt fails, or if the file's digest differs from the signed lists.
        """
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        archive = self._listed_source(package, upstream)
        self._report(f"downloading the source package {package} {archive.version}")
        self._run("apt-get", "source", "--download-only", "--tar-only", f"{package}={archive.version}", cwd=folder,
                  seconds=DOWNLOAD_SECONDS)  # fmt: skip
        path = folder / archive.file
        if not path.is_file():
            raise Rejected(f"apt-get source did not fetch {archive.file}, which the package lists name")
        archive.must_match(path)
        return path

    def _listed_source(self, package: str, upstream: Version) -> Listed:
        listed = sources(self._run("apt-cache", "showsrc", "--only-source", package).output)
        archives = [one for one in listed if ".orig.tar." in one.file and not one.file.endswith(".asc")]
        for one in archives:
            if re.findall(r"\d+\.\d+\.\d+", one.file)[-1:] == [str(upstream)]:  # 1.20.5+really1.20.2 means 1.20.2
                return one
        names = ", ".join(one.file for one in archives) or "none"
        raise Rejected(f"envkit can build only {upstream}, and the package lists have {names}")

    def _lay_out(self) -> None:
        for folder in ("state/lists/partial", "cache/archives/partial", "sources"):
            (self._root / folder).mkdir(parents=True, exist_ok=True)
        if not self._sources:
            return
        main = Path(self._configured.get("MAIN", "/etc/apt/sources.list"))
        parts = Path(self._configured.get("PARTS", "/etc/apt/sources.list.d"))
        for path in (main, *sorted(parts.glob("*"))):
            if path.is_file() and path.suffix in (".list", ".sources"):
                text = with_sources(path.read_text(), stanzas=path.suffix == ".sources")
                (self._root / "sources" / path.name).write_text(text)

    @cached_property
    def _configured(self) -> dict[str, str]:
        """The paths of the system's sources and of its list of installed packages, from apt's configuration."""
        asked = ("MAIN", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d", "STATUS", "Dir::State::status/f")
        return dict(re.findall(r"^(\w+)='([^']+)'", self._run("apt-config", "shell", *asked, plain=True).output, re.M))

    def _options(self) -> list[str]:
        words = [
            f"Dir::State={self._root / 'state'}",
            f"Dir::State::status={self._configured.get('STATUS', '/var/lib/dpkg/status')}",
            f"Dir::Cache={self._root / 'cache'}",
            "APT::Sandbox::User=root",  # apt run by root would change to _apt, which cannot enter a private folder
            "APT::Get::AllowUnauthenticated=false",
            "Acquire::AllowInsecureRepositories=false",
            "Acquire::AllowWeakRepositories=false",
            "Acquire::AllowDowngradeToInsecureRepositories=false",
            "Acquire::Languages=none",
            "Acquire::Retries=2",
            "Acquire::http::Timeout=20",
            "Acquire::https::Timeout=20",
            "Debug::NoLocking=1",  # only envkit uses this state folder, and envkit holds its own lock
        ]
        if self._sources:
            words += ["Dir::Etc::sourcelist=/dev/null", f"Dir::Etc::sourceparts={self._root / 'sources'}"]
        return [word for option in words for word in ("-o", option)]

    def _run(
        self, tool: str, *words: str, cwd: Path | None = None, seconds: float = 60.0, check: bool = True,
        plain: bool = False,
    ) -> Finished:  # fmt: skip
        argv = [tool, *([] if plain else self._options()), *words]
        try:
            return run(argv, seconds=seconds, env=self._environ, cwd=str(cwd or "/"), cancel=self._cancel, check=check)
        except CommandFailed as error:
            raise Rejected(f"{tool} {words[0]} ended with {error.code}: {_error_in(error.output)}") from error
        except EnvironmentFailed as error:
            raise Rejected(error.message) from error


def _checked(deb: Deb, listed: Mapping[str, Listed], folder: Path) -> Path:
    """Return the downloaded file of a package. Raises `Rejected` if it is missing or differs from the signed lists."""
    for name, path in downloaded(folder).items():
        if name.startswith(f"{deb.name}_{deb.version}_"):
            if name not in listed:
                raise Rejected(f"the signed package lists have no SHA-256 of {name}")
            listed[name].must_match(path)
            return path
    raise Rejected(f"apt-get download did not fetch {deb.name} {deb.version}")


def _error_in(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("E:")]
    unfetched = [line for line in lines if line.startswith("W: Failed to fetch")][:1]
    return (errors or unfetched or lines or ["no output"])[-1][:300]
