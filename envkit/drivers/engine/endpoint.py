"""The address and the properties of one container engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EngineName = Literal["docker", "podman"]


@dataclass(frozen=True)
class Endpoint:
    """One engine. `url` has the form of DOCKER_HOST; `source` names the place where envkit found the address.

    `default` is true if the engine's command line reaches the same engine without any variable. `machine` is true if
    the engine runs in a virtual machine, and not on this host's kernel.
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
    """The oldest version of Docker's API that the engine accepts (1.44 for Docker 29); empty if unknown."""

    @property
    def local(self) -> bool:
        """Whether this engine publishes ports on the 127.0.0.1 of this machine."""
        return self.url.startswith(("unix://", "npipe://"))

    def __str__(self) -> str:
        return f"{self.engine} {self.version} at {self.url} ({self.source})"
