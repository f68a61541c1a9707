"""envkit's cache of programs.

Each entry is a folder with the programs of one fetch. envkit fills it under a temporary name and then renames it.

<cache>/binaries/<name>/<key>/manifest.json    an entry; the manifest is written last
<cache>/binaries/<name>/.<key>.<pid>.new/      an unfinished entry; the next process that gets the lock removes it
<cache>/binaries/<name>/.work/                 partial downloads and compiled packages, for a fetch that continues
<cache>/binaries/.shared/                      package lists
<cache>/binaries/.versions/                    the versions that programs printed
<cache>/binaries/.verified/                    the state of each entry at its last comparison with the manifest

The manifest has the SHA-256 of every file, computed when the entry was made. When envkit uses the entry, it compares
the files with the manifest (see `sealed`). All folders get fixed modes, whatever the umask is. envkit does not use an
entry that another user owns or is allowed to write.
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
"""Version of the manifest's format. Version 2 added digests; envkit cannot check entries of version 1, and fetches
them again."""

LOCK_SECONDS = 2400.0
"""Time limit in seconds for the wait until another envkit has fetched the same supply.

A build of Kubernetes can take almost as long.
"""


@dataclass(frozen=True)
class Made:
    """The result of a fetch: the paths of the programs, relative to the fetcher's folder."""

    programs: Mapping[str, str]
    libraries: tuple[str, ...] = ()
    """Folders for LD_LIBRARY_PATH, relative to the fetcher's folder."""


def binaries_home(cache: Path, environ: Mapping[str, str], uid: int) -> Path:
    """Return the folder of all cached programs.

    It is below the cache. For root without `ENVKIT_CACHE_DIR` it is a folder that other users can reach.

    Services of root's environments run as other users, who cannot enter root's home.
    """
    if uid == 0 and not environ.get("ENVKIT_CACHE_DIR"):
        return Path("/var/cache/envkit/binaries")
    return cache / "binaries"


@dataclass(frozen=True)
class Store:
    """The cached entries of one supply, for one system and architecture."""

    root: Path
    name: str
    host: Host

    @property
    def folder(self) -> Path:
        """The folder of all entries."""
        return self.root / self.name

    @property
    def shared(self) -> Path:
        """The folder that the fetches of all supplies share; it contains the package lists."""
        return self.root / ".shared"

    @property
    def work(self) -> Path:
        """The folder for the partial results of an interrupted fetch, which the next fetch continues."""
        return self.folder / ".work"

    def entry(self, key: str) -> Path:
        """Return the path of an entry. Its name has the system and architecture: hosts can share a home folder."""
        return self.folder / f"{key}-{self.host}"

    def candidates(self) -> Iterator[Candidate | Refusal]:
        """Yield the intact entries for this host, the newest version first, then a refusal for each damaged entry.

        Yields one refusal if there are no entries.
        """
        read = [self.read(path.parent) for path in sorted(self.folder.glob(f"*-{self.host}/{MANIFEST}"))]
        good = [seen for seen in read if isinstance(seen, Candidate)]
        yield from sorted(good, key=lambda seen: seen.version.parts if seen.version else (), reverse=True)
        yield from (seen for seen in read if isinstance(seen, Refusal))
        if not read:
            yield Refusal(CACHE, f"empty ({self.folder})")

    def read(self, entry: Path) -> Candidate | Refusal:
        """Return the entry's programs, or a refusal if the entry is incomplete or has changed since it was made."""
        try:
            self._must_be_ours()
            manifest = json.loads((entry / MANIFEST).read_text())
            candidate = _candidate(entry, manifest)
            memo = self.root / ".verified" / f"{self.name}-{entry.name}"
            must_be_intact(entry, manifest["files"], memo, without=(MANIFEST,))
        except Altered as error:
            return Refusal(CACHE, f"{error}; envkit will fetch it again")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return Refusal(CACHE, f"{entry} is incomplete ({error}); envkit will fetch it again")
        return candidate

    def _must_be_ours(self) -> None:
        """Raise `Altered` if another user owns or can write a folder that holds the entries."""
        for folder in (self.root, self.folder):
            if reason := why_not_ours(folder.stat()):
                raise Altered(f"{folder} {reason}")

    def make(
        self, key: str, origin: str, main: str, versions: Versions, fetch: Callable[[Path], Made]
    ) -> Candidate | Refusal:
        """Let `fetch` fill an entry, check that the programs run, and move the entry into place.

        Returns the entry as `read` does. Raises `Rejected`. The caller must hold the lock.
        """
        entry = self.entry(key)
        beside = self.folder / f".{entry.name}.{os.getpid()}.new"
        try:
            own_folder(beside, 0o700)  # other users cannot enter until the manifest is complete
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
        """Hold this supply's lock while the `with` block runs; first remove unfinished entries of dead processes.

        Raises `Rejected` if the folders cannot be written, `NotReady` after `seconds`, and `Cancelled`.
        """
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
        raise ValueError(f"another version of envkit made it, with schema {manifest['schema']}")
    programs = {name: entry / relative for name, relative in manifest["programs"].items()}
    environ = _library_path(entry, manifest["libraries"])
    return Candidate(f"{CACHE} ({manifest['origin']})", programs, environ, Version.parse(manifest["version"]))


def _library_path(entry: Path, libraries: list[str] | tuple[str, ...]) -> dict[str, str]:
    return {"LD_LIBRARY_PATH": ":".join(str(entry / folder) for folder in libraries)} if libraries else {}
