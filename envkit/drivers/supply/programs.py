"""Supplies the programs of services that run as processes. It has the same interface as the supply of images.

A reference names the programs of a service. It is `program:SUPPLY` for programs that envkit can fetch, and `program:`
with a name or a path for any other program.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from envkit.base.errors import EnvironmentFailed, ImageUnavailable
from envkit.base.paths import PACKAGE
from envkit.base.waiting import Cancel
from envkit.drivers.supply.details import Details

if TYPE_CHECKING:
    from envkit.config.models import Service
    from envkit.drivers.supply.binaries import Found, Wanted

OWN = "datastorage"
NEEDED = (
    "psycopg",
    "psycopg_pool",
    "redis",
    "starlette",
    "uvicorn",
    "httptools",
    "prometheus_client",
    "yaml",
    "pydantic",
)
"""The packages that the DataStorage service imports."""

PACKAGES = PACKAGE.parent
"""The folder that contains the Python package `envkit`."""


@dataclass(frozen=True)
class Program:
    """The programs of one supply: version, paths by name, source, and the environment variables that they need."""

    version: str
    paths: Mapping[str, Path]
    source: str
    environ: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    unfinished: bool = False
    """Whether a fetch can still add a missing program or a newer version."""

    @classmethod
    def of(cls, found: Found, *, unfinished: bool = False) -> Program:
        """Return the programs that a search of the package `binaries` found."""
        return cls(str(found.version), found.programs, found.source, found.environ, found.missing, unfinished)


@dataclass(frozen=True)
class Ids(Mapping[str, str]):
    """Maps references to the identities of their programs; searches for a program when its reference is read.

    References without programs on this host are not in the mapping. For these, `look` returns an empty string.
    """

    look: Callable[[str], str]
    references: frozenset[str]

    def __getitem__(self, reference: str) -> str:
        if reference in self.references and (identity := self.look(reference)):
            return identity
        raise KeyError(reference)

    def __iter__(self) -> Iterator[str]:
        return (name for name in sorted(self.references) if self.look(name))

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass
class Programs:
    """Finds and fetches the programs of one environment's services."""

    services: Mapping[str, Service]
    environ: Mapping[str, str]
    cache: Path
    _found: dict[str, Program] = field(default_factory=dict)

    def ids(self, references: Sequence[str]) -> Mapping[str, str]:
        """Return the version and the path of each reference's programs; omit programs that this host lacks.

        The result searches for a program only when its reference is read: running services need no search.
        """
        return Ids(self.id_of, frozenset(references))

    def id_of(self, reference: str) -> str:
        """Return the programs' version and one program's path, or an empty string if a fetch is necessary or useful."""
        found = self._lookup(reference)
        return f"{found.version} {next(iter(found.paths.values()))}" if found and not found.unfinished else ""

    def source_of(self, reference: str) -> str:
        """Return the version and the source of the programs as text, or an empty string if this host lacks them."""
        found = self._lookup(reference)
        return f"{found.version} from {found.source}".strip() if found else ""

    def lacking(self, service: Service) -> str:
        """Return the name of the service's program if no source has it, although this host has the rest of its set.

        Returns an empty string in every other case.
        """
        process = service.process
        found = self._lookup(process.reference) if process else None
        lacks = process and found and not found.unfinished and process.command[0] in found.missing
        return process.command[0] if process and lacks else ""

    def details(self, reference: str) -> Details:
        """Return the programs' version, their size in bytes, and their source."""
        found = self.found(reference)
        size = sum(path.stat().st_size for path in {Path(path).resolve() for path in found.paths.values()})
        return Details(found.version, size, found.source)

    def folders_of(self, reference: str) -> list[str]:
        """Return the folders of the programs."""
        return [str(path.parent) for path in self.found(reference).paths.values()]

    def lacks(self, service: Service, reference: str) -> str:
        """Return why the service cannot be started from the programs of the reference, or an empty string if it can."""
        found, process = self._lookup(reference), service.process
        if found is None or found.unfinished or process is None:
            return f"{reference} is not here any more"
        needed = [process.command[0], *(["initdb"] if process.supply == "postgres" else [])]
        absent = [name for name in needed if name not in found.paths and not shutil.which(name)]
        return f"there is no {', '.join(absent)} in {found.source}" if absent else ""

    def pull_first(
        self, candidates: Sequence[str], _platform: str | None, report: Callable[[str], None], cancel: Cancel
    ) -> str:
        """Fetch the programs of the first candidate and return the candidate's reference.

        Raises `EnvironmentFailed` with every source that was tried, and the reason why it failed.
        """
        from envkit.drivers.supply.binaries import ensure

        name = candidates[0]
        if name == f"program:{OWN}":
            self._found[name] = self._own(report, cancel)
        elif wanted := self._wanted(name):
            self._found[name] = Program.of(ensure(wanted, self.environ, self.cache, report=report, cancel=cancel))
        else:
            raise ImageUnavailable(f"{name.partition(':')[2]} is not on PATH", hint="install it, or write its path")
        return name

    def found(self, reference: str) -> Program:
        """Return the programs of the reference. Raises `EnvironmentFailed` if this host does not have them."""
        found = self._lookup(reference)
        if found is None:
            raise EnvironmentFailed(f"{reference} is not here")
        return found

    def _lookup(self, reference: str) -> Program | None:
        if reference not in self._found:
            found = self._look(reference)
            if found is None:
                return None
            self._found[reference] = found
        return self._found[reference]

    def _look(self, reference: str) -> Program | None:
        name = reference.partition(":")[2]
        if name == OWN:
            return self._own_here()
        wanted = self._wanted(reference)
        if wanted:
            from envkit.drivers.supply.binaries import find, unfinished  # late: running services need neither

            found = find(wanted, self.environ, self.cache)
            more = bool(found and unfinished(wanted, self.environ, self.cache, found))
            return Program.of(found, unfinished=more) if found else None
        path = shutil.which(name, path=self.environ.get("PATH"))
        return Program("", {name: Path(path)}, "PATH") if path else None

    def _wanted(self, reference: str) -> Wanted | None:
        """Return one request for all services that share the reference.

        Returns None if envkit does not fetch the programs through `binaries`.
        """
        asked = [it.process for it in self.services.values() if it.process and it.process.reference == reference]
        supply = asked[0].supply if asked else None
        if supply is None or supply == "datastorage":
            return None
        from envkit.drivers import accounts
        from envkit.drivers.supply.binaries import Version, Wanted

        minimums = [Version.parse(process.minimum) for process in asked if process.minimum]
        path = next((process.path for process in asked if process.path), None)
        oldest = max(minimums, key=lambda version: version.parts, default=None)
        return Wanted(supply, oldest, path, user=accounts.anybody())

    def _own_here(self) -> Program | None:
        """Return this Python if it or the cache has the packages that the service needs, or else None."""
        if all(find_spec(name) for name in NEEDED):
            # The packages can come from the caller's PYTHONPATH.
            folders = ":".join(filter(None, (str(PACKAGES), self.environ.get("PYTHONPATH"))))
            return self._python({"PYTHONPATH": folders}, "this Python (extra datastorage)")
        from envkit.drivers.supply.sealed import is_intact
        from envkit.drivers.supply.wheels import site_here

        site = site_here(self.cache)
        return self._python({"PYTHONPATH": f"{PACKAGES}:{site}"}, "envkit's cache") if is_intact(site) else None

    def _own(self, report: Callable[[str], None], cancel: Cancel) -> Program:
        from envkit.drivers.supply.wheels import fetch_site_here

        fetch_site_here(self.cache, report, cancel)
        found = self._own_here()
        assert found is not None
        return found

    def _python(self, environ: Mapping[str, str], source: str) -> Program:
        version = ".".join(str(part) for part in sys.version_info[:3])
        return Program(version, {"python3": Path(sys.executable)}, source, environ)
