"""The interfaces of a runtime: what every runtime does with a service, and abilities that only some runtimes have."""

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
from envkit.drivers.runtimes.sites import Recorded, Search, Sites
from envkit.drivers.runtimes.usage import Usage
from envkit.drivers.supply.base import Supply
from envkit.planning.facts import Instance

if TYPE_CHECKING:
    from envkit.drivers.engine.endpoint import Endpoint
    from envkit.planning.values import ThisHost


@dataclass(frozen=True)
class Unit:
    """A service that is ready to start: its references are resolved and its image is chosen.

    `host_ports` maps ports of the service to ports of 127.0.0.1; the value 0 lets the engine choose a port.
    """

    environment: str
    owner: Owner
    name: str
    service: Service
    image: str
    fingerprint: str
    host_ports: Mapping[int, int] = field(default_factory=dict)
    hosts: Mapping[str, str] = field(default_factory=dict)
    """Host names for the container's /etc/hosts with their addresses, in addition to the names in its network."""


class Runtime(Protocol):
    """Runs services.

    Every call has a deadline and raises `EngineError`, `PortTaken` or `ImageUnavailable` on failure.
    """

    def observe(self, environment: str) -> Sequence[Instance]:
        """Return every instance (container or process) that is labelled with the environment's name."""

    def start(self, unit: Unit) -> Instance:
        """Create the service with its label and start it; a start that fails leaves nothing behind."""

    def look(self, instance: Instance) -> Instance:
        """Return the instance with its state now; the state is `dead` if it no longer exists."""

    def logs(self, instance: Instance, tail: int | None = None) -> str:
        """Return the instance's output so far, or the last `tail` lines of it."""

    def remove(self, instance: Instance, grace: float = 0.0) -> None:
        """Stop the instance (SIGTERM, `grace` seconds, SIGKILL), then remove it with its anonymous volumes.

        Does nothing if the instance no longer exists.
        """


class Owned(Protocol):
    """A runtime that changes and removes only instances of owners that its claim accepts.

    A claim says whose instances a command is allowed to change. For other instances these calls raise `HolderError`.
    """

    claim: Claim

    def whose(self, instance: Instance) -> Verdict:
        """Return whether the claim accepts the owner of the instance, and the reason if not."""


class Limits(Protocol):
    """A runtime that can read the memory limit in force."""

    def limit_of(self, instance: Instance) -> str | None:
        """Return the limit in bytes as the text in the control group; None if no limit can be read."""


class Follows(Protocol):
    """A runtime that can follow the output of its services."""

    def follow(self, instance: Instance, tail: int | None = None, place: Place | None = None) -> Iterator[str]:
        """Yield the last `tail` lines of the output (all lines if None), then each new line, until the service ends.

        `place` records the position in the log. After a restart the caller passes the same object again, to get each
        line exactly once.
        """


class Renewing(Protocol):
    """A runtime that can change a file of a running service."""

    def rewrite(self, name: str, path: str, content: bytes) -> bool:
        """Replace the content of a file atomically and keep its owner and mode; return whether it changed.

        `name` is the name of an instance. Returns False if the instance or the file does not exist.
        """


class Pauses(Protocol):
    """A runtime that can pause a service: it then uses no processor time and keeps its memory."""

    def pause(self, instance: Instance) -> None:
        """Pause the service; does nothing if it is paused already."""

    def resume(self, instance: Instance) -> Instance:
        """Resume the service; return the instance as it is afterwards."""


class Listens(Protocol):
    """A runtime that can check whether the services themselves listen on their ports."""

    def strangers(self, instances: Sequence[Instance]) -> Mapping[str, Holder]:
        """Return which other program listens on a port of a service, by the service's name.

        The result leaves out services that listen on their ports themselves. On an engine the result is always empty,
        because an engine does not start a container whose ports it cannot bind.
        """


class Measures(Protocol):
    """A runtime that can measure the resources that a service uses."""

    def usage(self, instance: Instance) -> Usage:
        """Return the memory in use now and the processor time since the start; zeros if the service is gone."""


class Glances(Protocol):
    """A runtime that can list all instances in one call, which is faster than an inspection of each."""

    def glance(self, environment: str) -> Mapping[str, tuple[str, str]]:
        """Return the service and the state of each instance with the environment's label, by the instance's id."""


class WritesLogFiles(Protocol):
    """A runtime that writes the output of its services into files on this host."""

    def log_file(self, instance: Instance) -> Path:
        """Return the file that contains the service's output."""

    def is_stopped(self, instance: Instance) -> bool:
        """Return whether a process of the service is stopped (SIGSTOP). Engines call this state paused."""


class SendsPieces(Protocol):
    """A runtime that returns a service's output in pieces, each with a timestamp."""

    def pieces(self, instance: Instance, place: Place, tail: int | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield the timestamp and the text of each piece of output after `place`, until the service ends.

        If `place` is new, yields only the last `tail` pieces of the existing output (all if None).
        """


class FullRuntime(Runtime, Owned, Limits, Follows, Renewing, Pauses, Listens, Measures, Protocol):
    """All methods of a runtime that any operation uses."""

    def execute(self, instance: Instance, argv: Sequence[str]) -> tuple[int, str]:
        """Run a command in the service's container, or on this host with its variables; return exit code and output."""

    def restart(self, instance: Instance, grace: float) -> Instance:
        """Stop the service (SIGTERM, `grace` seconds, SIGKILL), start it again with its data, return its new state."""

    def used_memory(self, instance: Instance) -> int:
        """Return the bytes of memory that the service uses now, 0 if they cannot be measured."""

    def silence(self) -> str:
        """Return the reason why the engine does not answer, or an empty string if it answers."""

    def published(self) -> Mapping[int, Holder]:
        """Return the host ports that this runtime's containers publish, each with its holder."""

    def ports_beside(self, instance: Instance) -> Mapping[int, int]:
        """Return for each port of the service the port that a client of `way_in` must use.

        The result is empty if this is always the service's own port.
        """

    def way_in(
        self, instance: Instance, client: Sequence[str], variables: Mapping[str, str], argv: Sequence[str],
        environ: Mapping[str, str], *, tty: bool,
    ) -> tuple[tuple[str, ...], dict[str, str]]:  # fmt: skip
        """Return the command that runs a program inside the service, and the variables for that command.

        `client` is the command of the service's own client, and `argv` is the command that the user typed. Raises
        `ToolMissing` if a necessary program is not installed.
        """


class Networks(Protocol):
    """The networks of environments. Processes use the host's network, so for them the methods do nothing."""

    def exists(self, environment: str, /) -> bool:
        """Return whether the environment has a network."""

    def gateway(self, environment: str, /) -> str:
        """Return this host's address in the environment's network, or an empty string if there is no network."""

    def owner(self, environment: str, /) -> Owner | None:
        """Return the owner of the network, None if there is no network."""

    def create(self, environment: str, owner: Owner, /, **marks: str) -> None:
        """Create the network with labels for the environment, the owner and each of `marks`."""

    def remove_all(self, environment: str, /) -> list[str]:
        """Remove the environment's networks; return their names."""


class Backend(Protocol):
    """The runtime of an environment, with its networks and its supply of images or programs."""

    @property
    def engine(self) -> str:
        """`docker`, `podman`, or an empty string if there is no engine."""

    @property
    def engine_url(self) -> str:
        """The engine's address, or an empty string if there is no engine."""

    @property
    def where(self) -> str:
        """A description of where the services run, for people."""

    @property
    def arch(self) -> str:
        """The architecture of the engine's machine, `amd64` or `arm64`; empty if this backend builds no images."""

    @property
    def runtime(self) -> FullRuntime:
        """The runtime of the services."""

    @property
    def networks(self) -> Networks:
        """The environment's networks."""

    @property
    def supply(self) -> Supply:
        """The images or programs from which services start."""

    def check(self) -> None:
        """Raise `EngineError` if this host cannot reach the ports that the backend publishes."""

    def this_host(self) -> ThisHost:
        """Return the address at which services reach this host, and the address on which to listen for them."""

    def lacking(self, service: Service) -> str:
        """Return the program that is missing for an optional service, or an empty string."""


class OnEngine(Protocol):
    """A backend that runs services on a container engine."""

    endpoint: Endpoint

    @property
    def api(self) -> Any:
        """The engine's own client."""

    def connect(self, seconds: int) -> Any:
        """Return another client, with a timeout of `seconds` for each call."""


class RunsOnEngine(Protocol):
    """A runtime on a container engine."""

    @property
    def endpoint(self) -> Endpoint:
        """The engine on which the runtime runs services."""


@dataclass(frozen=True)
class Opening:
    """The values with which a backend opens the runtime of an environment. `address` is what `enter` yielded."""

    environment: Environment
    paths: Paths
    address: Any
    claim: Claim
    cancel: Cancel
    environ: Mapping[str, str]
    cache: Path


@dataclass(frozen=True)
class RuntimeKind:
    """One kind of runtime.

    `enter` yields the address of its engine, or None for this host; some engines run only while this context is open.
    `open` returns the backend and has no side effects. `sites` finds the engines, or the host, where this kind of
    runtime runs services. `reopen` opens the runtime that a state record names.
    """

    enter: Callable[[Environment, Mapping[str, str], Paths, Stream], AbstractContextManager[Any]]
    open: Callable[[Opening], Backend]
    sites: Callable[[Search], Sites]
    reopen: Callable[[Recorded], AbstractContextManager[Renewing]]


def runtime_kind(name: str) -> RuntimeKind:
    """Return the kind of runtime with that name. Raises `KeyError`."""
    found: RuntimeKind = registry.module({name: registry.RUNTIMES[name].module}, name).RUNTIME
    return found


def runtime_kinds() -> list[RuntimeKind]:
    """Return every kind of runtime. Those that run processes come first, because they need no engine."""
    names = sorted(registry.RUNTIMES, key=lambda name: not registry.RUNTIMES[name].processes)
    return [runtime_kind(name) for name in names]
