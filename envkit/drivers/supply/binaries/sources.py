"""What every way of fetching programs is given, and what it must offer."""

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
    """One fetch: what for, where to keep what can be gone on from, whom to tell, and when to stop."""

    wanted: Wanted
    supply: Supply
    programs: tuple[str, ...]
    """Those to fetch: all of the supply's, or only what is missing of a set that is here."""
    environ: Mapping[str, str]
    host: Host
    work: Path
    shared: Path
    """What fetches of other supplies use as well, at the same time."""
    report: Callable[[str], None]
    cancel: Cancel

    @property
    def suffix(self) -> str:
        """For the key of an entry that holds only what a set lacked."""
        return "" if self.programs == self.supply.programs else "-rest"


class Fetcher(Protocol):
    """A way to fetch programs into an empty folder."""

    source: str

    def key(self, job: Job) -> str:
        """The entry's name in the cache. Raises `Rejected` when this source cannot serve, with nothing fetched yet."""

    def fetch(self, job: Job, folder: Path) -> Made:
        """Fill the folder. Raises `Rejected` with the reason when that does not work."""
