"""Types of a plan: the desired state of each service, and the steps that lead to it. All are plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from envkit.config.models import Environment, Service

CLUSTER, NETWORK, BOOTSTRAP, PREPARE = "cluster", "network", "bootstrap", "prepare"
"""Ids of the steps that do not belong to a service."""


class Action(StrEnum):
    """What a step does; `keep` does nothing, because its subject already has the desired state."""

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
    """The kind of thing that a step changes or keeps. A stray is an instance of a service that is not configured."""

    NETWORK = "network"
    IMAGE = "image"
    CLUSTER = "cluster"
    BOOTSTRAP = "bootstrap"
    SERVICE = "service"
    STRAY = "stray"
    PREPARE = "prepare"


@dataclass(frozen=True)
class Step:
    """One node of the graph. Reports show `id`; `needs` has the ids of the steps that must finish before this step."""

    id: str
    subject: Subject
    name: str
    action: Action
    reason: str
    needs: tuple[str, ...] = ()

    @property
    def about(self) -> str:
        """The service or container of the step, or `cluster`."""
        return CLUSTER if self.subject is Subject.CLUSTER else self.name

    @property
    def changes(self) -> bool:
        """Whether the step changes anything."""
        return self.action is not Action.KEEP


@dataclass(frozen=True)
class Want:
    """The desired state of a service: references resolved, ports moved by the offset, image chosen.

    `image` and `fingerprint` are empty as long as the image must still be fetched or built. The images to try are
    `candidates` in their order, then `tag`. `tag` is the tag of a build, and `built` is true if the host has that image
    already. `why` explains the choice of the image. `made_from` is the part of the fingerprint that comes from the
    image.
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
    """The desired state of an environment, in a form that can be compared with the facts."""

    environment: Environment
    services: Mapping[str, Want]
    cluster_fingerprint: str = ""
    selected: frozenset[str] = frozenset()
    rebuild: bool = False


@dataclass(frozen=True)
class Plan:
    """The steps of a graph; the `needs` of each step decide the order in which the steps run."""

    steps: tuple[Step, ...] = field(default_factory=tuple)

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that change something."""
        return tuple(step for step in self.steps if step.changes)
