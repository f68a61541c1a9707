"""A fake engine in memory for tests: its calls take milliseconds, and a real engine's calls take seconds.

`tests/contract` runs the same tests on it and on real engines. Published ports are real listening sockets on
127.0.0.1, so TCP probes, checks for taken ports and `env` work as usual. A `Script` defines how a service behaves.
Without a script, the fake runs the service's command if `fake_world` has its program, and fails to start any other
command. A service with neither a script nor a command never ends.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from envkit.base import labels
from envkit.base.errors import EngineError
from envkit.base.owner import NOBODY, Claim, Verdict
from envkit.base.ports import Holder, holders, port_taken
from envkit.drivers.engine.endpoint import Endpoint
from envkit.drivers.runtimes import limits
from envkit.drivers.runtimes.base import Unit
from envkit.drivers.runtimes.fake_container import Container, bound, listening
from envkit.drivers.runtimes.fake_container import Script as Script
from envkit.drivers.runtimes.fake_supply import FakeImages, FakeNetworks
from envkit.drivers.runtimes.fake_world import Program, known
from envkit.drivers.runtimes.following import Place
from envkit.drivers.runtimes.usage import Usage
from envkit.planning.facts import Instance

ENDPOINT = Endpoint("docker", "unix:///nowhere/fake.sock", "0", "a fake")


@dataclass
class FakeEngine:
    """The fake runtime, with its `networks` and `images`. `calls` contains all calls of methods in order.

    If `broken` is not empty, every call raises `EngineError` with that text, like a stopped engine.
    """

    scripts: dict[str, Script] = field(default_factory=dict)
    images: FakeImages = field(default_factory=FakeImages)
    clock: Callable[[], float] = time.monotonic
    broken: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    volumes: set[str] = field(default_factory=set)
    endpoint: Endpoint = ENDPOINT
    claim: Claim = NOBODY
    """The claim of the current command. `opened` sets this attribute to the session's claim."""
    _containers: dict[str, Container] = field(default_factory=dict)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self.networks = FakeNetworks(self._call, lambda: self.claim)
        self.images.call = self._call

    def whose(self, instance: Instance) -> Verdict:
        """Return whether the claim accepts the container's owner, and the reason if not."""
        return self.claim.on(instance.owner)

    def _mine(self, instance: Instance) -> None:
        if instance.service:
            self.claim.check(instance.owner, instance.name)

    # Runtime

    def observe(self, environment: str) -> list[Instance]:
        """Return every container with the environment's label."""
        with self._called("observe", environment):
            owned = [found for found in self._containers.values() if found.environment == environment]
            return [self._now(found) for found in owned]

    def start(self, unit: Unit) -> Instance:
        """Create the container and start it; a failed start leaves nothing behind."""
        script = self.scripts.get(unit.name, Script())
        if script.takes:
            time.sleep(script.takes)
        with self._called("start", unit.name):
            name = labels.resource_name(unit.environment, unit.name)
            self._check(unit, name, script)
            container = self._create(unit, name, script)
            try:
                self._bind(container, unit)
                self._begin(container)
            except BaseException:
                self._drop(container)
                raise
            return self._now(container)

    def look(self, instance: Instance) -> Instance:
        """Return the instance with its state now; the state is `dead` if it no longer exists."""
        with self._called("look", instance.service):
            found = self._containers.get(instance.id)
            return self._now(found) if found else replace(instance, state="dead", published={})

    def logs(self, instance: Instance, tail: int | None = None) -> str:
        """Return the last `tail` lines of the script's log; all lines, with timestamps, if `tail` is None or 0."""
        with self._called("logs", instance.service):
            lines = self._there(instance).script.log.splitlines(keepends=True)
            return "".join(lines[-tail:]) if tail else "".join(f"1970-01-01T00:00:00Z {line}" for line in lines)

    def follow(self, instance: Instance, tail: int | None = None, place: Place | None = None) -> Iterator[str]:  # noqa: ARG002  real runtimes use it
        """Yield the last `tail` lines of the script's log (1000 if None), then wait until the service ends."""
        yield from self.logs(instance, tail or 1000).splitlines()
        while self.look(instance).running:
            time.sleep(0.01)

    def remove(self, instance: Instance, grace: float = 0.0) -> None:  # noqa: ARG002  a fake container ends at once
        """Remove the container with its anonymous volumes; do nothing if it no longer exists."""
        with self._called("remove", instance.service or instance.name):
            self._mine(instance)
            if instance.id in self._containers:
                self._drop(self._containers[instance.id])

    # What only an engine can do

    def execute(self, instance: Instance, argv: Sequence[str]) -> tuple[int, str]:
        """Return the exit code and the output: from the script's `answers`, else from a known program.

        For any other command, returns the exit code 0 if the service is ready and 1 if not.
        """
        with self._called("execute", " ".join(argv)):
            found = self._there(instance)
            if not self._now(found).running:
                raise EngineError(f"running {argv[0]} in {instance.name}: the engine answered: it is not running")
            if tuple(argv) in found.script.answers:
                return found.script.answers[tuple(argv)]
            if found.unit and known(argv):
                return self._program(found, argv)
            ready = self.clock() >= found.began + found.script.ready
            return (0, "") if ready else (1, "not ready yet")

    def limit_of(self, instance: Instance) -> str | None:
        """Return the memory limit that a program in the container would read."""
        return limits.inside(lambda argv: self.execute(instance, argv))

    def strangers(self, _instances: Sequence[Instance]) -> dict[str, Holder]:
        """Return an empty dict, as the container runtime does: a client uses the service's own ports."""
        return {}

    def usage(self, instance: Instance) -> Usage:
        """Return 1 MiB of memory, and one second of processor time for each second since the start."""
        with self._called("usage", instance.service):
            return Usage(2**20, self.clock() - self._there(instance).began)

    def pause(self, instance: Instance) -> None:
        """Pause the container; it does not die while it is paused."""
        with self._called("pause", instance.service):
            self._mine(instance)
            found = self._there(instance)
            found.instance = replace(self._now(found), state="paused")

    def resume(self, instance: Instance) -> Instance:
        """Resume the container and return it."""
        with self._called("resume", instance.service):
            self._mine(instance)
            found = self._there(instance)
            found.instance = replace(found.instance, state="running")
            return self._now(found)

    def restart(self, instance: Instance, grace: float) -> Instance:  # noqa: ARG002  real runtimes use it
        """Start the same container again, with the current script of its service, and return it."""
        with self._called("restart", instance.service):
            self._mine(instance)
            found = self._there(instance)
            found.script = self.scripts.get(instance.service, Script())
            if found.unit and not found.sockets:
                self._bind(found, found.unit)
            self._begin(found)
            return self._now(found)

    def used_memory(self, instance: Instance) -> int:
        """Return the memory in bytes that `usage` returns."""
        return self.usage(instance).memory

    def ports_beside(self, _instance: Instance) -> Mapping[int, int]:
        """Return an empty dict, like an engine."""
        return {}

    def way_in(
        self, instance: Instance, client: Sequence[str], variables: Mapping[str, str], argv: Sequence[str],
        environ: Mapping[str, str], *, tty: bool,
    ) -> tuple[tuple[str, ...], dict[str, str]]:  # fmt: skip
        """Return the command for a real engine, and the variables to set for it."""
        from envkit.drivers.runtimes.entering import inside

        return inside(self.endpoint, instance, client, variables, argv, environ, tty=tty)

    def silence(self) -> str:
        """Return `broken`, the reason why the engine does not answer."""
        return self.broken

    def published(self) -> dict[int, Holder]:
        """Return the host ports of all running containers, with their containers."""
        with self._called("published", ""):
            running = [self._now(found) for found in self._containers.values()]
            return {port: Holder(port, container=it.name) for it in running for port in it.published.values()}

    def rewrite(self, container: str, path: str, content: bytes) -> bool:
        """Replace the content of a file; return whether the content changed."""
        self._call("rewrite", f"{container}:{path}")
        found = next((it for it in self._containers.values() if it.instance.name == container and it.unit), None)
        return found is not None and found.rewrite(path, content)

    # For tests

    def stranger(self, name: str, port: int = 0) -> Instance:
        """Add and return a running container that is not envkit's; it publishes `port`."""
        identity = f"stranger-{next(self._numbers)}"
        made = Container(None, Instance(identity, name, "", "running"), Script(), self.clock())
        if port:
            made.sockets[80] = listening(port)
            made.instance = replace(made.instance, published={80: port})
        self._containers[identity] = made
        return made.instance

    def kill(self, service: str, exit_code: int = 137) -> None:
        """End a service now, without envkit's involvement."""
        for found in self._containers.values():
            if found.instance.service == service:
                found.script = replace(found.script, dies=0.0, exit_code=exit_code)

    def names(self) -> list[str]:
        """Return the names of all containers, including those that are not envkit's."""
        return sorted(found.instance.name for found in self._containers.values())

    def close(self) -> None:
        """Close all containers and their ports."""
        for found in list(self._containers.values()):
            self._drop(found)

    # Private methods

    def _call(self, what: str, which: str) -> None:
        self.calls.append((what, which))
        if self.broken:
            raise EngineError(f"{what} {which}: the engine did not answer: {self.broken}")

    def _called(self, what: str, which: str) -> threading.RLock:
        self._call(what, which)
        return self._lock

    def _there(self, instance: Instance) -> Container:
        if instance.id not in self._containers:
            raise EngineError(f"{instance.name}: the engine answered: no such container")
        return self._containers[instance.id]

    def _check(self, unit: Unit, name: str, script: Script) -> None:
        there = next((found for found in self._containers.values() if found.instance.name == name), None)
        if there and there.environment != unit.environment:
            raise EngineError(f"a container named {name} exists and is not envkit's", hint="rename or remove it")
        if there:
            self._mine(there.instance)
            self._drop(there)
        if not self.images.id_of(unit.image):
            raise EngineError(f"creating {name}: the engine answered: no such image: {unit.image}")
        if not self.networks.exists(unit.environment):
            raise EngineError(f"creating {name}: the engine answered: no such network")
        command = unit.service.entrypoint or unit.service.command
        if script.refuses or (command and not known(command) and unit.name not in self.scripts):
            raise EngineError(f"starting {name}: the engine answered: {script.refuses or 'no such program'}")

    def _create(self, unit: Unit, name: str, script: Script) -> Container:
        identity, service = f"fake-{next(self._numbers)}", unit.service
        instance = Instance(
            identity, name, unit.name, "created", unit.fingerprint, unit.image, self.images.id_of(unit.image),
            unit.owner, memory=service.memory or 0, swap=service.memory or 0,
        )  # fmt: skip
        volumes = tuple(f"{identity}-{path}" for path in self.images.declares.get(unit.image, ()))
        self.volumes.update(volumes)
        made = self._containers[identity] = Container(unit, instance, script, self.clock(), volumes=volumes)
        return made

    def _bind(self, container: Container, unit: Unit) -> None:
        wanted = [port for port in unit.host_ports.values() if port]
        taken = holders(wanted, self.published())
        if taken:
            raise port_taken({holder.port: unit.name for holder in taken}, taken)
        container.sockets = {inner: bound(outer) for inner, outer in unit.host_ports.items()}

    def _begin(self, container: Container) -> None:
        container.began = self.clock()
        published = {inner: int(it.getsockname()[1]) for inner, it in container.sockets.items()}
        container.instance = replace(container.instance, state="running", published=published, exit_code=0)
        unit, words = container.unit, container.words
        if unit and words and known(words) and words[0] != "sleep" and unit.name not in self.scripts:
            code, output = self._program(container, words)
            container.script = Script(log=output, dies=0.0, exit_code=code)

    def _program(self, container: Container, argv: Sequence[str]) -> tuple[int, str]:
        assert container.unit is not None
        mates = [other for other in self._containers.values() if other.environment == container.unit.environment]
        names = {mate.instance.service for mate in mates}
        return Program(container.unit, self.images.files.get(container.unit.image, {}), names).run(argv)

    def _now(self, found: Container) -> Instance:
        return found.now(self.clock())

    def _drop(self, container: Container) -> None:
        container.close()
        self.volumes.difference_update(container.volumes)
        del self._containers[container.instance.id]
