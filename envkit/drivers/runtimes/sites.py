"""The places where a runtime runs services: each engine that answers, or this host. `down` and `list` use them."""

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

    `engine` is the requested engine. `known` contains the engines that the environment's files name; it is None if
    there are no such files.
    """

    environ: Mapping[str, str]
    environment: str = ""
    engine: str = "auto"
    known: Engines | None = None


class Removable(Protocol):
    """A runtime from which services can be removed."""

    def observe(self, environment: str) -> Sequence[Instance]:
        """Return every instance (container or process) that is labelled with the environment's name."""

    def whose(self, instance: Instance) -> Verdict:
        """Return whether the claim accepts the owner of the instance, and the reason if not."""

    def remove(self, instance: Instance, grace: float = 0.0) -> None:
        """Stop and remove the instance. Raises `HolderError` if the claim does not accept its owner."""


@dataclass(frozen=True)
class Opened:
    """A site that is open for the removal of one environment.

    Call `tidy` with the environment's name after all its services are removed: it removes the rest, such as the
    network, and returns the names of what it removed.
    """

    runtime: Removable
    tidy: Callable[[str], list[str]]


class Site(Protocol):
    """One place where a runtime runs services: a container engine, or this host."""

    @property
    def where(self) -> str:
        """The name of the place in messages: `docker`, `podman` or `processes`."""

    @property
    def address(self) -> str:
        """The engine's address, or "" for this host."""

    def traces(self, node_labels: Sequence[str]) -> Iterator[Trace]:
        """Yield the parts of all environments. `node_labels` are the labels of cluster nodes. Raises `EngineError`."""

    def open(self, paths: Paths, claim: Claim) -> AbstractContextManager[Opened]:
        """Open the site for one environment. The claim decides which instances the caller is allowed to remove."""

    def is_at(self, address: str, home: Path) -> bool:
        """Return whether the address in a state record means this site; `home` is the record's state directory."""

    def describe(self, instance: Instance) -> str:
        """Return the text with which messages name the instance."""

    @property
    def grace(self) -> float:
        """The seconds that a service has at `down` to end after the stop signal; 0 means SIGKILL at once."""


@dataclass(frozen=True)
class Sites:
    """`found` contains the sites that answer; `silent` maps the address of each silent engine to its error."""

    found: Sequence[Site] = ()
    silent: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recorded:
    """The runtime that a state record names, for callers that have not opened the environment."""

    engine: str
    engine_url: str
    paths: Paths
    claim: Claim
    environ: Mapping[str, str]
