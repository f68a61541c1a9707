"""The places where a runtime keeps what it runs: each engine that answers, or this host. `down` and `list` use them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from envkit.base.owner import UNKNOWN, Claim, Owner, Verdict
from envkit.base.paths import Paths
from envkit.planning.facts import Instance

Engines = tuple[tuple[str, str], ...]
"""The name and address of each engine."""


@dataclass(frozen=True)
class Trace:
    """One part of an environment (a container, a process, a folder ...), with the owner that its labels name."""

    environment: str
    kind: Literal["container", "node", "network", "process", "files"]
    name: str
    where: str
    state: str = ""
    owner: Owner = UNKNOWN
    began: float = 0.0
    expires: float = 0.0
    job: str = ""


@dataclass(frozen=True)
class Search:
    """What to search for. An empty `environment` means every environment of this machine.

    `engine` is the wanted engine. `known` are the engines that the environment's files name; None if they name nothing.
    """

    environ: Mapping[str, str]
    environment: str = ""
    engine: str = "auto"
    known: Engines | None = None


class Removable(Protocol):
    """A runtime from which services can be removed."""

    def observe(self, environment: str) -> Sequence[Instance]:
        """Return everything with the environment's label."""

    def whose(self, instance: Instance) -> Verdict:
        """Return the claim's verdict on the instance's owner."""

    def remove(self, instance: Instance, grace: float = 0.0) -> None:
        """Stop and remove it. Raises `HolderError` if the claim does not cover it."""


@dataclass(frozen=True)
class Opened:
    """A site opened to remove an environment.

    `tidy` removes what is left when no service is there any more, such as the network, and returns the names.
    """

    runtime: Removable
    tidy: Callable[[str], list[str]]


class Site(Protocol):
    """One place where a runtime keeps what it runs."""

    @property
    def where(self) -> str:
        """The place as messages name it: `docker`, `processes`."""

    @property
    def address(self) -> str:
        """The engine's address, or "" for this host."""

    def traces(self, node_labels: Sequence[str]) -> Iterator[Trace]:
        """Yield the parts of all environments. `node_labels` mark nodes of clusters. Raises `EngineError`."""

    def open(self, paths: Paths, claim: Claim) -> AbstractContextManager[Opened]:
        """Open it for one environment. The claim decides what may be removed."""

    def is_at(self, address: str, home: Path) -> bool:
        """Return whether a recorded address means this site. `home` is the state directory of the record."""

    def describe(self, instance: Instance) -> str:
        """Return the instance as messages name it."""

    @property
    def grace(self) -> float:
        """Seconds that a service has to end by itself at `down`."""


@dataclass(frozen=True)
class Sites:
    """The sites that answer, and the reason why each of the others does not, by address."""

    found: Sequence[Site] = ()
    silent: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recorded:
    """A runtime as the state record names it: for who has not opened the environment."""

    engine: str
    engine_url: str
    paths: Paths
    claim: Claim
    environ: Mapping[str, str]
