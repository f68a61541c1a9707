"""The interface of a fetcher of programs: the job that it gets, and the methods that it must have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from envkit.drivers.supply.binaries.catalog import Supply
from envkit.drivers.supply.binaries.models import Host, Wanted
from envkit.drivers.supply.binaries.store import Made

if TYPE_CHECKING:
    from envkit.base.waiting import Cancel


@dataclass(frozen=True)
class Job:
    """One fetch: the request, the folders for partial downloads, the function for progress, and the cancellation."""

    wanted: Wanted
    supply: Supply
    programs: tuple[str, ...]
    """The programs to fetch: all of the supply, or only those that are missing from a set that is here."""
    environ: Mapping[str, str]
    host: Host
    work: Path
    shared: Path
    """A folder that fetches of other supplies may use at the same time."""
    report: Callable[[str], None]
    cancel: Cancel

    @property
    def suffix(self) -> str:
        """The end of the entry's key: `-rest` if the job fetches only the missing programs of a set."""
        return "" if self.programs == self.supply.programs else "-rest"


class Fetcher(Protocol):
    """A way to fetch programs into an empty folder."""

    source: str

    def key(self, job: Job) -> str:
        """Return the entry's name in the cache. Raises `Rejected` before any download if it cannot be supplied."""

    def fetch(self, job: Job, folder: Path) -> Made:
        """Put the programs into the folder and return their paths. Raises `Rejected` with the reason of a failure."""
