"""The words of a plan: what is wanted of each service, and the steps that bring it about. Plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from envkit.config.models import Environment, Service

CLUSTER, NETWORK, BOOTSTRAP, PREPARE = "cluster", "network", "bootstrap", "prepare"
"""Ids of the steps that are about no service."""


class Action(StrEnum):
    """What a step does; `keep` does nothing, because it is right already."""

    CREATE = "create"
    KEEP = "keep"
    REPLACE = "replace"
    RESUME = "resume"
    APPLY = "apply"
    RUN = "run"
    PULL = "pull"
    BUILD = "build"
    REMOVE = "remove"
    PREPARE = "prepare"


class Subject(StrEnum):
    """What a step is about."""

    NETWORK = "network"
    IMAGE = "image"
    CLUSTER = "cluster"
    BOOTSTRAP = "bootstrap"
    SERVICE = "service"
    STRAY = "stray"
    PREPARE = "prepare"


@dataclass(frozen=True)
class Step:
    """One node of the graph. `id` is what people see; `needs` are ids of steps that must be done before."""

    id: str
    subject: Subject
    name: str
    action: Action
    reason: str
    needs: tuple[str, ...] = ()

    @property
    def about(self) -> str:
        """The service, the container or `cluster` that it is about."""
        return CLUSTER if self.subject is Subject.CLUSTER else self.name

    @property
    def changes(self) -> bool:
        """Whether it does anything."""
        return self.action is not Action.KEEP


@dataclass(frozen=True)
class Want:
    """A service as it should be: references resolved, ports moved by the offset, image chosen.

    `image` is empty while it must be had first; the fingerprint then is, too. `candidates` are tried in their order,
    then `tag`, that of a build, which may be here already (`built`). `why` says how the image was chosen. `made_from`
    is what the fingerprint takes of the image.
    """

    name: str
    service: Service
    image: str = ""
    candidates: tuple[str, ...] = ()
    tag: str = ""
    fingerprint: str = ""
    built: bool = False
    why: str = ""
    made_from: str = ""


@dataclass(frozen=True)
class Desired:
    """All that is wanted of one environment, ready to be compared with facts."""

    environment: Environment
    services: Mapping[str, Want]
    cluster_fingerprint: str = ""
    selected: frozenset[str] = frozenset()
    rebuild: bool = False


@dataclass(frozen=True)
class Plan:
    """Steps in an order in which they could run one by one."""

    steps: tuple[Step, ...] = field(default_factory=tuple)

    @property
    def changes(self) -> tuple[Step, ...]:
        """Steps that do something."""
        return tuple(step for step in self.steps if step.changes)
