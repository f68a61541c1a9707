"""Runs services as containers. One class serves Docker and Podman, because the same SDK can connect to both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from envkit.base import labels
from envkit.base.errors import EngineError
from envkit.base.owner import Claim, Verdict
from envkit.base.ports import Holder, holders, port_taken
from envkit.drivers.engine.endpoint import Endpoint
from envkit.drivers.engine.sdk import connect, executed, pack, text, translated
from envkit.drivers.runtimes import container_files, container_logs, limits
from envkit.drivers.runtimes.base import Unit
from envkit.drivers.runtimes.container_facts import STATES, held_ports, instance_of
from envkit.drivers.runtimes.container_request import request
from envkit.drivers.runtimes.following import Place, lines_of
from envkit.drivers.runtimes.usage import Usage, of_stats
from envkit.planning.facts import Instance

if TYPE_CHECKING:
    from docker import APIClient

    from envkit.base.waiting import Cancel

EXECUTE_SECONDS = 10
"""The timeout in seconds for a command in a container, and for one measurement of a container."""


class Containers:
    """The runtime `containers`. It also has methods that only an engine needs, for files and measurements.

    It changes and removes only containers whose owner the claim accepts; for others these calls raise `HolderError`.
    """

    def __init__(self, endpoint: Endpoint, claim: Claim, cancel: Cancel | None = None) -> None:
        """Use the engine at `endpoint`. Inside a `cutting` block of `cancel`, a signal ends calls in progress."""
        self.endpoint, self.claim, self._cancel = endpoint, claim, cancel

    def whose(self, instance: Instance) -> Verdict:
        """Return whether the claim accepts the owner in the container's labels, and the reason if not."""
        return self.claim.on(instance.owner)

    def _check(self, instance: Instance) -> None:
        self.claim.check(instance.owner, instance.name)

    @cached_property
    def api(self) -> APIClient:
        """The SDK's client, created on first use because importing the SDK takes 0.14 s."""
        return connect(self.endpoint, cancel=self._cancel)

    @cached_property
    def _executor(self) -> APIClient:
        return connect(self.endpoint, EXECUTE_SECONDS, cancel=self._cancel)

    @cached_property
    def _measurer(self) -> APIClient:
        """A client for the API version 1.41 (Docker 20.10), the first version that can take a single sample."""
        return connect(self.endpoint, EXECUTE_SECONDS, "1.41", self._cancel)

    # Runtime

    def observe(self, environment: str) -> list[Instance]:
        """Return every container with the environment's label, with all facts from its inspection."""
        with translated("listing containers"):
            rows = self.api.containers(all=True, filters={"label": f"{labels.ENV}={environment}"})
        with ThreadPoolExecutor(4, thread_name_prefix="inspect") as pool:  # on Podman each inspection starts a process
            found = list(pool.map(self._inspect, [row["Id"] for row in rows]))
        return [instance for instance in found if instance is not None]

    def start(self, unit: Unit) -> Instance:
        """Create the container with labels, copy its files in and start it. A failed start leaves no container."""
        name = labels.resource_name(unit.environment, unit.name)
        self._clear_namesake(name, unit.environment)
        with translated(f"creating {name}"):
            created = self.api.create_container(**request(self.api, unit, name))
        identity = str(created["Id"])
        try:
            with translated(f"starting {name}"):
                if unit.service.files:
                    owner = container_files.default_owner(self.api, identity, unit.service)
                    self.api.put_archive(identity, "/", pack(unit.service.files, owner))
                self.api.start(identity)
            return self._inspect(identity) or Instance(identity, name, unit.name, "dead")
        except BaseException as error:  # also for a signal: no record of the container exists yet
            self._remove(identity)
            if isinstance(error, EngineError):
                self._explain_ports(unit, error)
            raise

    def look(self, instance: Instance) -> Instance:
        """Return the container with its state now; the state is `dead` if it no longer exists."""
        return self._inspect(instance.id) or replace(instance, state="dead")

    def logs(self, instance: Instance, tail: int | None = None) -> str:
        """Return the last `tail` lines of stdout and stderr.

        If `tail` is None, returns all lines with the engine's timestamps.
        """
        with translated(f"reading the log of {instance.name}"):
            return text(self.api.logs(instance.id, tail=tail or "all", timestamps=tail is None))

    def follow(self, instance: Instance, tail: int | None = None, place: Place | None = None) -> Iterator[str]:
        """Yield the last `tail` lines and each new line, until the container ends. Uses a separate connection."""
        return lines_of(text for _, text in self.pieces(instance, place or Place(), tail))

    def pieces(self, instance: Instance, place: Place, tail: int | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield the timestamp and the text of each piece of output; the engine divides the output into pieces."""
        doing = f"following the log of {instance.name}"
        return container_logs.pieces(self.endpoint, instance.id, doing, place, tail)

    def remove(self, instance: Instance, grace: float = 0.0) -> None:
        """Stop the container if `grace` is not 0, then remove it with its anonymous volumes."""
        self._check(instance)
        if instance.state == "paused":
            instance = self.resume(instance)  # a frozen process receives no signal
        if grace and instance.running:
            from docker.errors import NotFound

            try:
                with translated(f"stopping {instance.name}"):
                    self.api.stop(instance.id, timeout=int(grace))
            except EngineError as error:
                if not isinstance(error.__cause__, NotFound):
                    raise
        self._remove(instance.id)

    # What only an engine can do

    def execute(self, instance: Instance, argv: Sequence[str]) -> tuple[int, str]:
        """Run a command in the container; return its exit code and output.

        Raises `EngineError` if the command takes longer than `EXECUTE_SECONDS`.
        """
        with translated(f"running {argv[0]} in {instance.name}"):
            return executed(self._executor, instance.id, argv)

    def limit_of(self, instance: Instance) -> str | None:
        """Return the memory limit that the kernel shows inside the container."""
        return limits.inside(lambda argv: self.execute(instance, argv))

    def pause(self, instance: Instance) -> None:
        """Freeze the container's control group; do nothing if it is paused already."""
        self._check(instance)
        if self.look(instance).state != "paused":
            with translated(f"pausing {instance.name}"):
                self.api.pause(instance.id)

    def resume(self, instance: Instance) -> Instance:
        """Resume the container; return the instance with its new state.

        This inspects the container only if the engine refuses, because Podman starts a process for each inspection.
        """
        self._check(instance)
        try:
            with translated(f"resuming {instance.name}"):
                self.api.unpause(instance.id)
        except EngineError:
            now = self.look(instance)
            if now.state == "paused":
                raise
            return now
        return replace(instance, state="running")

    def restart(self, instance: Instance, grace: float) -> Instance:
        """Stop the container (SIGTERM, `grace` seconds, SIGKILL) and start the same one again; it keeps its data."""
        self._check(instance)
        with translated(f"restarting {instance.name}"):
            self.api.restart(instance.id, timeout=int(grace))
        return self.look(instance)

    def read_file(self, container: str, path: str) -> bytes | None:
        """Return a file's content, even from a stopped container; None if the file or the container does not exist."""
        return container_files.read(self.api, container, path)

    def write_file(self, container: str, path: str, content: bytes) -> None:
        """Write a file (root, 0644) into a container."""
        container_files.write(self.api, container, path, content)

    def glance(self, environment: str) -> dict[str, tuple[str, str]]:
        """Return the service and the state of each container with the environment's label, by id, in one call."""
        with translated("listing containers"):
            rows = self.api.containers(all=True, filters={"label": f"{labels.ENV}={environment}"})
        return {
            row["Id"]: ((row.get("Labels") or {}).get(labels.SERVICE, ""), STATES.get(row["State"].lower(), "other"))
            for row in rows
        }

    def used_memory(self, instance: Instance) -> int:
        """Return the memory in bytes that the container uses, without reclaimable cache; 0 if it does not run."""
        return self.usage(instance).memory

    def strangers(self, _instances: Sequence[Instance]) -> dict[str, Holder]:
        """Return an empty dict: the engine itself holds the ports that it publishes."""
        return {}

    def usage(self, instance: Instance) -> Usage:
        """Return the memory and the processor time that the container uses."""
        with translated(f"measuring {instance.name}"):
            return self.measured(instance.id)

    def measured(self, container: str) -> Usage:
        """Return the memory and the processor time that a container uses.

        This asks for one sample, because for two samples engines wait a second between them. An engine older than API
        version 1.41 always takes two samples.
        """
        from docker.errors import APIError

        try:
            return of_stats(self._measurer.stats(container, stream=False, one_shot=True))
        except APIError as error:
            if "too new" not in str(error):
                raise
            return of_stats(self.api.stats(container, stream=False))

    def rewrite(self, container: str, path: str, content: bytes) -> bool:
        """Replace the content of a file and keep its owner and mode; return whether the content changed.

        Returns False if the container or the file does not exist.
        """

        def check() -> None:
            if there := self._inspect(container):
                self._check(there)

        return container_files.rewrite(self.api, container, path, content, check)

    def ports_beside(self, _instance: Instance) -> Mapping[int, int]:
        """Return an empty dict: a client in the same network uses the service's own ports."""
        return {}

    def way_in(
        self, instance: Instance, client: Sequence[str], variables: Mapping[str, str], argv: Sequence[str],
        environ: Mapping[str, str], *, tty: bool,
    ) -> tuple[tuple[str, ...], dict[str, str]]:  # fmt: skip
        """Return a `docker exec` or `podman exec` command and the variables to set for it.

        It uses the engine's command line because that can attach a terminal. The arguments contain only the names of
        the variables, because other users can read the arguments of a process.
        """
        from envkit.drivers.runtimes.entering import inside

        return inside(self.endpoint, instance, client, variables, argv, environ, tty=tty)

    def silence(self) -> str:
        """Ask the engine again, for a few seconds at most; return why it does not answer, or an empty string."""
        from envkit.drivers.engine.discovery import ask

        try:
            ask(self.endpoint.url)
        except (OSError, ValueError) as error:
            return str(error)
        return ""

    def published(self) -> dict[int, Holder]:
        """Return the host ports that this engine's running containers publish, with container and environment."""
        with translated("listing containers"):
            rows = self.api.containers()
        return held_ports(rows)

    # Private methods

    def _clear_namesake(self, name: str, environment: str) -> None:
        """Remove this environment's container of that name, which an interrupted start left behind.

        Raises `EngineError` if the container of that name does not belong to this environment.
        """
        there = self._inspect(name)
        if there is None:
            return
        if there.service and self._environment(name) == environment:
            self.remove(there)
            return
        raise EngineError(
            f"a container named {name} exists and is not envkit's (it lacks the label {labels.ENV}={environment})",
            hint=f"rename or remove it (`{self.endpoint.engine} rm {name}`), or use another --name",
        )

    def _environment(self, container: str) -> str:
        with translated(f"inspecting {container}"):
            return str((self.api.inspect_container(container)["Config"]["Labels"] or {}).get(labels.ENV, ""))

    def _remove(self, container: str) -> None:
        from docker.errors import APIError, NotFound

        try:
            with translated(f"removing {container[:12]}"):
                self.api.remove_container(container, v=True, force=True)
        except EngineError as error:
            cause = error.__cause__
            already = isinstance(cause, APIError) and cause.response is not None and cause.response.status_code == 409
            if not isinstance(cause, NotFound) and not already:
                raise

    def _explain_ports(self, unit: Unit, error: EngineError) -> None:
        """Raise `PortTaken` if a program holds a port of the unit, because engines' own messages about this differ."""
        wanted = [outer for outer in unit.host_ports.values() if outer]
        taken = holders(wanted, self.published())
        if taken:
            raise port_taken({holder.port: unit.name for holder in taken}, taken) from error

    def _inspect(self, container: str) -> Instance | None:
        from docker.errors import NotFound

        try:
            with translated(f"inspecting {container[:12]}"):
                return instance_of(self.api.inspect_container(container))
        except EngineError as error:
            if isinstance(error.__cause__, NotFound):
                return None
            raise
