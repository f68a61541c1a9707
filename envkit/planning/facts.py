"""What is there now: plain values, found by label and never by memory, that the plan is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from envkit.base.owner import UNKNOWN, Owner

KILLED = 137
"""Exit code of SIGKILL. Podman on cgroup v1 leaves its OOM flag false, so that the code is all there is."""

State = Literal["created", "running", "paused", "exited", "dead", "other"]


@dataclass(frozen=True)
class Instance:
    """One container (later: process) of the environment. `published` maps inner ports to host ports."""

    id: str
    name: str
    service: str
    state: State
    fingerprint: str = ""
    image: str = ""
    image_id: str = ""
    owner: Owner = UNKNOWN
    published: Mapping[int, int] = field(default_factory=dict)
    exit_code: int | None = None
    oom_killed: bool = False
    started_at: str = ""
    memory: int = 0
    swap: int = 0
    volumes: bool = False
    """Whether the engine keeps a volume for it: what is in there goes with it."""

    @property
    def running(self) -> bool:
        """Whether its process is there and not paused."""
        return self.state == "running"

    @property
    def short_of_memory(self) -> bool:
        """Whether it ended, as far as can be told, for want of memory."""
        return self.oom_killed or (self.state == "exited" and self.exit_code == KILLED and self.memory > 0)

    def began(self) -> float:
        """Seconds since 1970, to the microsecond; 0 when nobody knows."""
        return datetime.fromisoformat(self.started_at).timestamp() if self.started_at else 0.0

    def death(self) -> str:
        """How it ended, for people."""
        if self.oom_killed:
            return f"was killed by the kernel because it ran out of memory (exit {self.exit_code})"
        if self.short_of_memory:
            limit = f"its memory limit of {self.memory // 2**20} MiB"
            return f"was killed (exit {KILLED}): by somebody, or by the kernel at {limit}"
        return f"exited with {self.exit_code}" if self.state in ("exited", "dead") else f"is {self.state}"


@dataclass(frozen=True)
class ClusterFact:
    """The environment's cluster: `fingerprint` is empty while (or because) it was never finished."""

    state: Literal["absent", "running", "paused", "stopped"] = "absent"
    fingerprint: str = ""
    unready: str = ""
    missing: tuple[str, ...] = ()
    nodes: int = 0
    names: tuple[str, ...] = ()
    """Of the nodes' containers."""
    changed: tuple[str, ...] = ()
    """Fields that differ from what it was made from, as far as the record knows."""


@dataclass(frozen=True)
class Facts:
    """Everything that the plan may look at."""

    network: bool = False
    network_owner: Owner | None = None
    instances: Mapping[str, Instance] = field(default_factory=dict)
    strays: tuple[Instance, ...] = ()
    image_ids: Mapping[str, str] = field(default_factory=dict)
    cluster: ClusterFact = ClusterFact()
    unready: Mapping[str, str] = field(default_factory=dict)
    done: Mapping[str, str] = field(default_factory=dict)
    """One-shots that have no container: name -> fingerprint of the run that succeeded."""
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Fields of running services that differ from what they were made from, as far as the record knows."""
    data: frozenset[str] = frozenset()
    """Services that hold data as the record knows it, also those that the configuration has no longer."""
