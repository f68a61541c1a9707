"""The current state from which envkit makes a plan. A field says so if it comes from the record of the last `up`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from envkit.base.owner import UNKNOWN, Owner

KILLED = 137
"""Exit code after SIGKILL. Podman on cgroup v1 does not set its OOM flag, so only this code shows the kill."""

State = Literal["created", "running", "paused", "exited", "dead", "other"]


@dataclass(frozen=True)
class Instance:
    """One container or process of the environment. `published` maps inner ports to host ports."""

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
    """Whether the engine has a volume for the instance; removing the instance removes the volume's data."""

    @property
    def running(self) -> bool:
        """Whether the instance's process exists and is not paused."""
        return self.state == "running"

    @property
    def short_of_memory(self) -> bool:
        """Whether the instance probably ended because it ran out of memory."""
        return self.oom_killed or (self.state == "exited" and self.exit_code == KILLED and self.memory > 0)

    def began(self) -> float:
        """Return the start time in seconds since 1970, with microseconds; 0 if it is unknown."""
        return datetime.fromisoformat(self.started_at).timestamp() if self.started_at else 0.0

    def death(self) -> str:
        """Return how the instance ended, as the rest of a sentence that begins with its name."""
        if self.oom_killed:
            return f"was killed by the kernel because it ran out of memory (exit {self.exit_code})"
        if self.short_of_memory:
            limit = f"its memory limit of {self.memory // 2**20} MiB"
            return f"was killed (exit {KILLED}): by somebody, or by the kernel at {limit}"
        return f"exited with {self.exit_code}" if self.state in ("exited", "dead") else f"is {self.state}"


@dataclass(frozen=True)
class ClusterFact:
    """The state of the environment's cluster; `fingerprint` is empty if its creation has not finished."""

    state: Literal["absent", "running", "paused", "stopped"] = "absent"
    fingerprint: str = ""
    unready: str = ""
    missing: tuple[str, ...] = ()
    nodes: int = 0
    names: tuple[str, ...] = ()
    """Names of the nodes' containers."""
    changed: tuple[str, ...] = ()
    """Fields of the cluster that changed since its creation, according to the record."""


@dataclass(frozen=True)
class Facts:
    """All facts that the plan uses."""

    network: bool = False
    network_owner: Owner | None = None
    instances: Mapping[str, Instance] = field(default_factory=dict)
    strays: tuple[Instance, ...] = ()
    image_ids: Mapping[str, str] = field(default_factory=dict)
    cluster: ClusterFact = ClusterFact()
    unready: Mapping[str, str] = field(default_factory=dict)
    done: Mapping[str, str] = field(default_factory=dict)
    """One-shots without a container: each name maps to the fingerprint of the run that succeeded."""
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Fields of running services that changed since the start, by service, according to the record."""
    data: frozenset[str] = frozenset()
    """Services that hold data according to the record, including services that the configuration no longer has."""
