"""Check that a started service works: its probe, its first probe, its ports and its memory limit.

A wait for a probe ends at once when the service ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from envkit.base.errors import EngineError, EnvironmentFailed, ServiceDied
from envkit.base.ports import holders, port_taken
from envkit.base.waiting import Cancel, until
from envkit.config.models import Probe, Service
from envkit.config.units import show_size
from envkit.inventory.probing import Prober
from envkit.planning.facts import Instance

LOG_LINES = 20
"""Number of lines from the end of a service's log that an error about the service contains."""


@dataclass
class Proof:
    """Checks that one started service works.

    Its errors contain the last lines of the service's log, except the error about the memory limit.
    """

    prober: Prober
    instance: Instance
    report: Callable[[str], None]
    cancel: Cancel

    @property
    def name(self) -> str:
        """The service's name."""
        return self.instance.service

    def ready(self) -> str:
        """Wait until the service works; return a text about the result.

        Raises `ServiceDied`, `NotReady` or `EnvironmentFailed`.
        """
        if not self.instance.running:
            self._alive()  # an ended service publishes no ports for a probe
        service = self.prober.resolved(self.name, {self.name: self.instance})
        said = f"ready after {self._wait(service, service.probe):.1f} s" if service.probe else self._runs()
        if service.first_probe:
            self.report("running its first probe once, as a client would")
            self._wait(service, service.first_probe)
        if service.memory:
            self._check_limit(service.memory)
        return said

    def answers(self) -> str:
        """Wait until the probe passes; return a text about the result. A service without a probe must run.

        Unlike `ready`, this method checks neither the first probe nor the memory limit. It raises the same errors.
        """
        service = self.prober.resolved(self.name, {self.name: self.instance})
        return f"ready after {self._wait(service, service.probe):.1f} s" if service.probe else self._runs()

    def ended(self, seconds: float) -> tuple[Instance, str]:
        """Wait until a one-shot ends; return its instance and a text about the result.

        Raises `ServiceDied` if its exit code is not 0, and `NotReady` if it does not end within `seconds`.
        """
        now = self.instance

        def attempt() -> str | None:
            nonlocal now
            now = self.prober.runtime.look(self.instance)
            return None if now.state in ("exited", "dead") else f"it is {now.state}"

        try:
            took = until(attempt, what=f"{self.name} to end", seconds=seconds, cancel=self.cancel, slowest=0.1)
        except EnvironmentFailed as error:
            error.detail = self.tail()
            raise
        if now.exit_code != 0 or now.state == "dead":
            raise ServiceDied(f"{self.name} {now.death()}", hint="its log says why", detail=self.tail())
        return now, f"ended with 0 after {took:.1f} s"

    def tail(self) -> str:
        """Return the last lines of the service's log, or a text about why there are none."""
        try:
            lines = self.prober.runtime.logs(self.instance, tail=LOG_LINES).rstrip()
        except EnvironmentFailed as error:
            return f"(the log of {self.name} cannot be read: {error.message})"
        return f"last lines of {self.name}:\n{lines}" if lines else f"({self.name} wrote no log)"

    def _runs(self) -> str:
        self._alive()
        self._listens()
        return "runs (it has no probe)"

    def _wait(self, service: Service, probe: Probe) -> float:
        target = self.prober.target(service, self.instance)

        def attempt() -> str | None:
            try:
                seen = probe.attempt(target)
            except EngineError:  # a command cannot run in a dead service
                self._alive()
                raise
            if seen is not None:
                self._alive()
            else:
                self._listens()
            return seen

        try:
            return until(
                attempt,
                what=f"{self.name} should give {probe.describe(target)}",
                seconds=service.timeout,
                cancel=self.cancel,
                progress=lambda seen: self.report(f"waiting: {seen}"),
                hint=f"check the probe and services.{self.name}.timeout; `up --keep` keeps the service for inspection",
            )
        except EnvironmentFailed as error:
            error.detail = error.detail or self.tail()
            raise

    def _alive(self) -> None:
        """Raise `ServiceDied`, with the exit code and the last log lines, if the service does not run any more.

        Raises `PortTaken` instead if another program holds one of its ports.
        """
        now = self.prober.runtime.look(self.instance)
        if now.running or now.state == "created":
            return
        wanted = self._ports()
        if taken := holders(wanted, {}):  # a port can be taken after the check; only the bind decides
            error = port_taken(wanted, taken)
            error.detail = self.tail()
            raise error
        more = f"give it more memory (services.{self.name}.memory)"
        raise ServiceDied(
            f"{self.name} {now.death()} while envkit waited for it",
            hint=more if now.short_of_memory else "the reason is usually in its last log lines",
            detail=self.tail(),
        )

    def _listens(self) -> None:
        """Raise `PortTaken` if another program listens on a port of the service, even if the probe passed there."""
        for holder in self.prober.runtime.strangers([self.instance]).values():
            error = port_taken({holder.port: self.name}, [holder])
            error.detail = self.tail()
            raise error

    def _ports(self) -> dict[int, str]:
        """Return the service's fixed host ports, each with the service's name."""
        environment = self.prober.environment
        ports = environment.services[self.name].ports.values()
        return {port.host + environment.port_offset: self.name for port in ports if isinstance(port.host, int)}

    def _check_limit(self, memory: int) -> None:
        """Raise `EnvironmentFailed` if the memory limit is not in force: an engine may accept a limit and ignore it."""
        seen = self.prober.runtime.limit_of(self.instance)
        if seen is None:
            self.report("its memory is not limited here")
        elif seen != str(memory):
            raise EnvironmentFailed(
                f"{self.name} should have a memory limit of {show_size(memory)}; its control group has {seen}",
                hint="does this engine have the memory controller? (rootless engines need cgroup delegation)",
            )
