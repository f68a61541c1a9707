"""The seam between deciding and doing: what every runtime can do with a service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from envkit.base.owner import Claim, Owner, Verdict
from envkit.base.ports import Holder
from envkit.config.models import Service
from envkit.drivers.runtimes.following import Place
from envkit.drivers.runtimes.usage import Usage
from envkit.planning.facts import Instance


@dataclass(frozen=True)
class Unit:
    """A service made ready to start: references resolved for the inside, image and host ports chosen.

    `host_ports` maps inner ports to ports on 127.0.0.1; 0 lets the engine pick one.
    """

    environment: str
    owner: Owner
    name: str
    service: Service
    image: str
    fingerprint: str
    host_ports: Mapping[int, int] = field(default_factory=dict)
    hosts: Mapping[str, str] = field(default_factory=dict)
    """Names that a container knows beside those of its network, with their addresses."""


class Runtime(Protocol):
    """Where services run. Every call has a deadline; failures are `EngineError`, `PortTaken` or `ImageUnavailable`."""

    def observe(self, environment: str) -> Sequence[Instance]:
        """Everything that carries the environment's label."""

    def start(self, unit: Unit) -> Instance:
        """Create, label first, and start; nothing of a failed start stays."""

    def look(self, instance: Instance) -> Instance:
        """The instance as it is now; state `dead` when it is gone."""

    def logs(self, instance: Instance, tail: int | None = None) -> str:
        """Its output so far, or the last `tail` lines."""

    def remove(self, instance: Instance, grace: float = 0.0) -> None:
        """Stop it (SIGTERM, `grace` seconds, SIGKILL) and remove it with its anonymous volumes; gone is fine."""


class Owned(Protocol):
    """A runtime that changes and removes only what its claim covers: every other call raises `HolderError`."""

    claim: Claim

    def whose(self, instance: Instance) -> Verdict:
        """Whose the instance is, for this runtime's claim."""


class Limits(Protocol):
    """A runtime that can tell the memory limit that is really in force."""

    def limit_of(self, instance: Instance) -> str | None:
        """Bytes, as the control group writes them; None where that cannot be asked or there is none."""


class Follows(Protocol):
    """A runtime whose services' output can be followed as it comes."""

    def follow(self, instance: Instance, tail: int | None = None, place: Place | None = None) -> Iterator[str]:
        """Its last `tail` lines (all when None), then what it writes, until it ends.

        `place` remembers how far that went: given again, after a restart, nothing is left out and nothing said twice.
        """


class Renewing(Protocol):
    """A runtime that can change a file of a service that runs."""

    def rewrite(self, name: str, path: str, content: bytes) -> bool:
        """Replace the content, owner and mode kept, never leaving half of it; whether it changed.

        `name` is an instance's; nothing happens where that or the file is gone.
        """


class Pauses(Protocol):
    """A runtime that can hold a service where it is: no processor time is used, memory stays."""

    def pause(self, instance: Instance) -> None:
        """Hold it; held already is fine."""

    def resume(self, instance: Instance) -> Instance:
        """Let it go on; the instance as it is then."""


class Listens(Protocol):
    """A runtime that can tell whether it is the services who listen on their ports."""

    def strangers(self, instances: Sequence[Instance]) -> Mapping[str, Holder]:
        """Who else listens on a port of a service, by the service's name; nothing for services whose ports are theirs.

        An engine binds the ports itself, and starts nothing where it cannot.
        """


class Measures(Protocol):
    """A runtime that can tell what a service takes."""

    def usage(self, instance: Instance) -> Usage:
        """Memory now, processor time since it began; zeros when it is gone."""
