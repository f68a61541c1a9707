"""Envkit's cache of programs: whole entries, each with a manifest written last and moved into place as one.

<cache>/binaries/<name>/<key>/manifest.json    an entry
<cache>/binaries/<name>/.<key>.<pid>.new/      one that is being made; whoever holds the lock removes it
<cache>/binaries/<name>/.work/                 partial downloads and compiled packages, to go on from
    <cache>/binaries/.shared/                      package lists
    <cache>/binaries/.versions/                    what programs said about their version
    <cache>/binaries/.verified/                    which entries were compared with their manifest, and in which state

The manifest holds the SHA-256 of every file of its entry, taken when the entry was made; they are compared when the
entry is used (see `sealed`). All folders have modes of their own, whatever the umask is, and an entry that another user
owns or may write is not used.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envkit.base.errors import EnvironmentFailed
from envkit.base.owned import own_folder, why_not_ours
from envkit.drivers.supply.binaries.locks import held
from envkit.drivers.supply.binaries.models import Candidate, Host, Refusal, Rejected, Version
from envkit.drivers.supply.binaries.versions import Versions
from envkit.drivers.supply.sealed import Altered, contents, must_be_intact, open_to_all

if TYPE_CHECKING:
    from envkit.base.waiting import Cancel


CACHE = "envkit's cache"
MANIFEST = "manifest.json"
SCHEMA = 2
"""2: the manifest holds digests. Entries of schema 1 cannot be checked, and are fetched anew."""

LOCK_SECONDS = 2400.0
"""For another envkit that fetches the same: as long as the longest source may take, the build of Kubernetes."""


@dataclass(frozen=True)
class Made:
    """What a fetcher put into the folder it was given: paths relative to that folder."""

    programs: Mapping[str, str]
    libraries: tuple[str, ...] = ()
    """Folders for LD_LIBRARY_PATH."""


def binaries_home(cache: Path, environ: Mapping[str, str], uid: int) -> Path:
    """Where programs are kept: below the cache, but for root at a place that other users can reach.

    Services do not run as root, and the users that they run as cannot pass root's home.
    """
    if uid == 0 and not environ.get("ENVKIT_CACHE_DIR"):
        return Path("/var/cache/envkit/binaries")
    return cache / "binaries"


@dataclass(frozen=True)
class Store:
    """The entries of one name on one machine."""

    root: Path
    name: str
    host: Host

    @property
    def folder(self) -> Path:
        """All entries."""
        return self.root / self.name

    @property
    def shared(self) -> Path:
        """What fetches of all names share: package lists."""
        return self.root / ".shared"

    @property
    def work(self) -> Path:
        """What a fetch that was cut short leaves to go on from."""
        return self.folder / ".work"

    def entry(self, key: str) -> Path:
        """The place of an entry; the same home may serve machines of several kinds."""
        return self.folder / f"{key}-{self.host}"

    def candidates(self) -> Iterator[Candidate | Refusal]:
        """Whole entries for this machine, the newest version first; broken ones as refusals."""
        read = [self.read(path.parent) for path in sorted(self.folder.glob(f"*-{self.host}/{MANIFEST}"))]
        good = [seen for seen in read if isinstance(seen, Candidate)]
        yield from sorted(good, key=lambda seen: seen.version.parts if seen.version else (), reverse=True)
        yield from (seen for seen in read if isinstance(seen, Refusal))
        if not read:
            yield Refusal(CACHE, f"empty ({self.folder})")

    def read(self, entry: Path) -> Candidate | Refusal:
        """The entry as its manifest describes it, provided its files are still as they were."""
        try:
            self._must_be_ours()
            manifest = json.loads((entry / MANIFEST).read_text())
            candidate = _candidate(entry, manifest)
            memo = self.root / ".verified" / f"{self.name}-{entry.name}"
            must_be_intact(entry, manifest["files"], memo, without=(MANIFEST,))
        except Altered as error:
            return Refusal(CACHE, f"{error}; it will be fetched anew")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return Refusal(CACHE, f"{entry} is not whole ({error}); it will be fetched anew")
        return candidate

    def _must_be_ours(self) -> None:
        """Raise `Altered` where another user can put entries here."""
        for folder in (self.root, self.folder):
            if reason := why_not_ours(folder.stat()):
                raise Altered(f"{folder} {reason}")

    def make(
        self, key: str, origin: str, main: str, versions: Versions, fetch: Callable[[Path], Made]
    ) -> Candidate | Refusal:
        """Have an entry filled by `fetch`, prove that it runs, and move it into place; the lock must be held."""
        entry = self.entry(key)
        beside = self.folder / f".{entry.name}.{os.getpid()}.new"
        try:
            own_folder(beside, 0o700)  # closed to others until it is sealed
            made = fetch(beside)
            open_to_all(beside)
            self._seal(beside, made, origin, main, versions)
            shutil.rmtree(entry, ignore_errors=True)
            beside.rename(entry)
        except OSError as error:
            raise Rejected(f"{error.strerror or error} ({error.filename or self.folder})") from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return self.read(entry)

    def _seal(self, beside: Path, made: Made, origin: str, main: str, versions: Versions) -> None:
        environ = _library_path(beside, made.libraries)
        asked = {name: versions.ask(beside / path, environ) for name, path in made.programs.items()}
        leader = asked.get(main) or next(iter(asked.values()))
        manifest = {
            "schema": SCHEMA,
            "origin": origin,
            "version": str(leader),
            "programs": dict(made.programs),
            "libraries": list(made.libraries),
            "files": contents(beside),
        }
        (beside / MANIFEST).write_text(json.dumps(manifest, indent=1))
        (beside / MANIFEST).chmod(0o644)

    @contextmanager
    def locked(self, report: Callable[[str], None], cancel: Cancel, seconds: float = LOCK_SECONDS) -> Iterator[None]:
        """Hold the lock of this name, which dies with its holder; remove what dead holders left half-made."""
        try:
            for folder, mode in ((self.root, 0o755), (self.folder, 0o755), (self.work, 0o700), (self.shared, 0o700)):
                own_folder(folder, mode)
        except EnvironmentFailed as error:
            raise Rejected(f"{error.message}: {error.hint}") from error
        except OSError as error:
            raise Rejected(f"{self.folder} cannot be written: {error.strerror}") from error
        with held(self.folder / ".lock", self.name, report, cancel, seconds):
            for left in self.folder.glob(".*.new"):
                shutil.rmtree(left, ignore_errors=True)
            yield


def _candidate(entry: Path, manifest: Mapping[str, Any]) -> Candidate:
    if manifest["schema"] != SCHEMA:
        raise ValueError(f"made by another envkit, schema {manifest['schema']}")
    programs = {name: entry / relative for name, relative in manifest["programs"].items()}
    environ = _library_path(entry, manifest["libraries"])
    return Candidate(f"{CACHE} ({manifest['origin']})", programs, environ, Version.parse(manifest["version"]))


def _library_path(entry: Path, libraries: list[str] | tuple[str, ...]) -> dict[str, str]:
    return {"LD_LIBRARY_PATH": ":".join(str(entry / folder) for folder in libraries)} if libraries else {}
