"""The interface of fetchers of programs: the job that a fetcher gets, and the methods that it must have."""

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
    """One fetch: the request, the folders for partial downloads, and the functions for progress and cancellation."""

    wanted: Wanted
    supply: Supply
    programs: tuple[str, ...]
    """The programs to fetch: all programs of the supply, or only the programs that this host's set lacks."""
    environ: Mapping[str, str]
    host: Host
    work: Path
    shared: Path
    """A folder that all supplies share; fetches of other supplies can use it at the same time."""
    report: Callable[[str], None]
    cancel: Cancel

    @property
    def suffix(self) -> str:
        """The end of the key in the cache: `-rest` if the job fetches only a set's missing programs, else empty."""
        return "" if self.programs == self.supply.programs else "-rest"


class Fetcher(Protocol):
    """A way to fetch programs into an empty folder."""

    source: str

    def key(self, job: Job) -> str:
        """Return the key of the programs in envkit's cache: the name of their folder, without system and architecture.

        Raises `Rejected`, before any download, if this fetcher cannot supply the programs.
        """

    def fetch(self, job: Job, folder: Path) -> Made:
        """Put the programs into the folder and return the programs' paths. Raises `Rejected` with the reason."""
