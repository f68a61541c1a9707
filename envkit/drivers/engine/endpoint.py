"""The address of one container engine, as everything else needs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EngineName = Literal["docker", "podman"]


@dataclass(frozen=True)
class Endpoint:
    """One engine that answered. `url` is what DOCKER_HOST would hold; `source` says where it was found.

    `default` is true when the engine's own command line, with no variable set, reaches the same engine; `machine` when
    it runs in a virtual machine, and not on this host's kernel.
    """

    engine: EngineName
    url: str
    version: str
    source: str
    rootless: bool = False
    default: bool = False
    arch: str = "amd64"
    machine: bool = False
    oldest_api: str = ""
    """The oldest version of Docker's API that it still speaks, where it said: 1.44 for Docker 29."""

    @property
    def local(self) -> bool:
        """Whether ports published by this engine are on this machine's 127.0.0.1."""
        return self.url.startswith(("unix://", "npipe://"))

    def __str__(self) -> str:
        return f"{self.engine} {self.version} at {self.url} ({self.source})"
