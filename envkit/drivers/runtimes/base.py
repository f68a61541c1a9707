"""The seam between deciding and doing: what every runtime can do with a service."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from envkit.base import registry
from envkit.base.events import Stream
from envkit.base.owner import Claim, Owner, Verdict
from envkit.base.paths import Paths
from envkit.base.ports import Holder
from envkit.base.waiting import Cancel
from envkit.config.models import Environment, Service
from envkit.drivers.runtimes.following import Place
from envkit.drivers.runtimes.usage import Usage
from envkit.drivers.supply.base import Supply
from envkit.planning.facts import Instance

if TYPE_CHECKING:
    from envkit.drivers.engine.endpoint import Endpoint
    from envkit.planning.values import ThisHost


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


class Glances(Protocol):
    """A runtime with a look at everything that is cheaper than a look at each instance."""

    def glance(self, environment: str) -> Mapping[str, tuple[str, str]]:
        """Return service and state of everything that carries the environment's label, by id."""


class WritesLogFiles(Protocol):
    """A runtime whose services write into files of this host."""

    def log_file(self, instance: Instance) -> Path:
        """Return the file that the service writes its output into."""

    def is_stopped(self, instance: Instance) -> bool:
        """Return whether a process of it was stopped (SIGSTOP), which an engine would call paused."""


class SendsPieces(Protocol):
    """A runtime that hands out a service's output in pieces, each with its time."""

    def pieces(self, instance: Instance, place: Place, tail: int | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield time and text of what it writes, from `place` on, until it ends."""


class FullRuntime(Runtime, Owned, Limits, Follows, Renewing, Pauses, Listens, Measures, Protocol):
    """What every operation together needs of a runtime."""

    def execute(self, instance: Instance, argv: Sequence[str]) -> tuple[int, str]:
        """Run a command beside the service; return its exit code and output."""

    def restart(self, instance: Instance, grace: float) -> Instance:
        """Stop it (SIGTERM, `grace` seconds, SIGKILL) and start it again, its data kept; return it as it is then."""

    def used_memory(self, instance: Instance) -> int:
        """Return bytes that the service takes now, 0 when that cannot be told."""

    def silence(self) -> str:
        """Return why the engine does not answer, or an empty text."""

    def published(self) -> Mapping[int, Holder]:
        """Return host ports that are taken by what runs there, with their holders."""

    def ports_beside(self, instance: Instance) -> Mapping[int, int]:
        """Return by inner port the one on which a client beside the service reaches it; empty where it is the same."""

    def way_in(
        self, instance: Instance, client: Sequence[str], variables: Mapping[str, str], argv: Sequence[str],
        environ: Mapping[str, str], *, tty: bool,
    ) -> tuple[tuple[str, ...], dict[str, str]]:  # fmt: skip
        """Return the command, and its variables, that goes into the service.

        `client` is the service's own client, `argv` what the user typed instead. Raises `ToolMissing`.
        """


class Networks(Protocol):
    """The networks of environments; a runtime without any has none to make or to remove."""

    def exists(self, environment: str, /) -> bool:
        """Return whether the environment's network is there."""

    def gateway(self, environment: str, /) -> str:
        """Return its address on this host, or an empty text."""

    def owner(self, environment: str, /) -> Owner | None:
        """Return whose it is, None when there is none."""

    def create(self, environment: str, owner: Owner, /, **marks: str) -> None:
        """Make it, labelled."""

    def remove_all(self, environment: str, /) -> list[str]:
        """Remove it; return the names of what was removed."""


class Backend(Protocol):
    """An environment's runtime with what belongs to it."""

    @property
    def engine(self) -> str:
        """`docker`, `podman`, or empty where no engine runs anything."""

    @property
    def engine_url(self) -> str:
        """The engine's address, or empty."""

    @property
    def where(self) -> str:
        """Where it all runs, for people."""

    @property
    def arch(self) -> str:
        """The engine's machine, `amd64` or `arm64`; empty where no image is built."""

    @property
    def runtime(self) -> FullRuntime:
        """Where the services run."""

    @property
    def networks(self) -> Networks:
        """The environment's networks."""

    @property
    def supply(self) -> Supply:
        """What services are started from."""

    def check(self) -> None:
        """Raise `EngineError` when nothing that it publishes can be reached from here."""

    def this_host(self) -> ThisHost:
        """Return how what runs there calls this host back."""

    def lacking(self, service: Service) -> str:
        """Return the program of an optional part that cannot be had here, or an empty text."""


class OnEngine(Protocol):
    """A backend that is a container engine."""

    endpoint: Endpoint

    @property
    def api(self) -> Any:
        """The engine's own client."""

    def connect(self, seconds: int) -> Any:
        """Return another client, whose calls may take that long."""


@dataclass(frozen=True)
class Opening:
    """What a backend may need to open the runtime of an environment. `address` is what `enter` gave."""

    environment: Environment
    paths: Paths
    address: Any
    claim: Claim
    cancel: Cancel
    environ: Mapping[str, str]
    cache: Path


@dataclass(frozen=True)
class RuntimeKind:
    """One runtime. `enter` finds what it runs on, for as long as the context lasts; `open` touches nothing."""

    enter: Callable[[Environment, Mapping[str, str], Paths, Stream], AbstractContextManager[Any]]
    open: Callable[[Opening], Backend]


def runtime_kind(name: str) -> RuntimeKind:
    """Return the runtime of that name. Raises `KeyError`."""
    found: RuntimeKind = registry.module({name: registry.RUNTIMES[name].module}, name).RUNTIME
    return found
