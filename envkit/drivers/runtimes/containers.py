"""Services as containers. One class for Docker and Podman: Podman is a second address for the same SDK."""

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
"""For a command in a container to say something."""


class Containers:
    """The runtime `containers`, and with it what only an engine can do: networks, files in and out, commands.

    Only what the claim covers is changed or removed; for other containers these calls raise `HolderError`.
    """

    def __init__(self, endpoint: Endpoint, claim: Claim, cancel: Cancel | None = None) -> None:
        """`cancel` ends calls that are under way, while it is `cutting`."""
        self.endpoint, self.claim, self._cancel = endpoint, claim, cancel

    def whose(self, instance: Instance) -> Verdict:
        """Whose the container is, by its labels."""
        return self.claim.on(instance.owner)

    def _check(self, instance: Instance) -> None:
        self.claim.check(instance.owner, instance.name)

    @cached_property
    def api(self) -> APIClient:
        """The SDK's client, made when first needed: importing it costs 0.14 s."""
        return connect(self.endpoint, cancel=self._cancel)

    @cached_property
    def _executor(self) -> APIClient:
        return connect(self.endpoint, EXECUTE_SECONDS, cancel=self._cancel)

    @cached_property
    def _measurer(self) -> APIClient:
        """One look at what a container takes is newer than the rest of what is spoken: Docker 20.10."""
        return connect(self.endpoint, EXECUTE_SECONDS, "1.41", self._cancel)

    # Runtime

    def observe(self, environment: str) -> list[Instance]:
        """Every container with the environment's label, inspected."""
        with translated("listing containers"):
            rows = self.api.containers(all=True, filters={"label": f"{labels.ENV}={environment}"})
        with ThreadPoolExecutor(4, thread_name_prefix="inspect") as pool:  # each is a process on Podman
            found = list(pool.map(self._inspect, [row["Id"] for row in rows]))
        return [instance for instance in found if instance is not None]

    def start(self, unit: Unit) -> Instance:
        """Create with labels, copy files in, start. A start that fails leaves no container."""
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
        except BaseException as error:  # a signal too: nobody else knows of it yet
            self._remove(identity)
            if isinstance(error, EngineError):
                self._explain_ports(unit, error)
            raise

    def look(self, instance: Instance) -> Instance:
        """The container now."""
        return self._inspect(instance.id) or replace(instance, state="dead")

    def logs(self, instance: Instance, tail: int | None = None) -> str:
        """Stdout and stderr, with the engine's timestamps when all of it is asked for."""
        with translated(f"reading the log of {instance.name}"):
            return text(self.api.logs(instance.id, tail=tail or "all", timestamps=tail is None))

    def follow(self, instance: Instance, tail: int | None = None, place: Place | None = None) -> Iterator[str]:
        """Its last `tail` lines and what follows, until it ends; on a connection of its own."""
        return lines_of(text for _, text in self.pieces(instance, place or Place(), tail))

    def pieces(self, instance: Instance, place: Place, tail: int | None = None) -> Iterator[tuple[bytes, bytes]]:
        """The same, cut as the engine cuts it: stamp and text of each piece."""
        doing = f"following the log of {instance.name}"
        return container_logs.pieces(self.endpoint, instance.id, doing, place, tail)

    def remove(self, instance: Instance, grace: float = 0.0) -> None:
        """Stop and remove, anonymous volumes included."""
        self._check(instance)
        if instance.state == "paused":
            instance = self.resume(instance)  # what is frozen hears no signal
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
        """Run a command in the container; exit code and output. Raises `EngineError` after `EXECUTE_SECONDS`."""
        with translated(f"running {argv[0]} in {instance.name}"):
            return executed(self._executor, instance.id, argv)

    def limit_of(self, instance: Instance) -> str | None:
        """The memory limit, as the container's own kernel tells it."""
        return limits.inside(lambda argv: self.execute(instance, argv))

    def pause(self, instance: Instance) -> None:
        """Freeze its control group."""
        self._check(instance)
        if self.look(instance).state != "paused":
            with translated(f"pausing {instance.name}"):
                self.api.pause(instance.id)

    def resume(self, instance: Instance) -> Instance:
        """Thaw it. It is looked at only where that is refused: on Podman each look is a process of its own."""
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
        """Stop (SIGTERM, `grace` seconds, SIGKILL) and start the same container; its data stays."""
        self._check(instance)
        with translated(f"restarting {instance.name}"):
            self.api.restart(instance.id, timeout=int(grace))
        return self.look(instance)

    def read_file(self, container: str, path: str) -> bytes | None:
        """A file's content through the archive API, which also works on a stopped container; None when absent."""
        return container_files.read(self.api, container, path)

    def write_file(self, container: str, path: str, content: bytes) -> None:
        """Put a file (root, 0644) into a container."""
        container_files.write(self.api, container, path, content)

    def glance(self, environment: str) -> dict[str, tuple[str, str]]:
        """Service and state of everything with the environment's label, by id: one call, nothing inspected."""
        with translated("listing containers"):
            rows = self.api.containers(all=True, filters={"label": f"{labels.ENV}={environment}"})
        return {
            row["Id"]: ((row.get("Labels") or {}).get(labels.SERVICE, ""), STATES.get(row["State"].lower(), "other"))
            for row in rows
        }

    def used_memory(self, instance: Instance) -> int:
        """Bytes that count against its limit, without what the kernel would give back; 0 when it does not run."""
        return self.usage(instance).memory

    def strangers(self, _instances: Sequence[Instance]) -> dict[str, Holder]:
        """None: the engine holds the ports that it publishes."""
        return {}

    def usage(self, instance: Instance) -> Usage:
        """Memory and processor time, one look: the engine's usual answer waits a second for a second one."""
        with translated(f"measuring {instance.name}"):
            return self.measured(instance.id)

    def measured(self, container: str) -> Usage:
        """One look at a container. An engine too old for that takes a second for two of them."""
        from docker.errors import APIError

        try:
            return of_stats(self._measurer.stats(container, stream=False, one_shot=True))
        except APIError as error:
            if "too new" not in str(error):
                raise
            return of_stats(self.api.stats(container, stream=False))

    def rewrite(self, container: str, path: str, content: bytes) -> bool:
        """Replace a file's content in place, owner and mode kept; whether it changed. What is gone is passed over."""

        def check() -> None:
            if there := self._inspect(container):
                self._check(there)

        return container_files.rewrite(self.api, container, path, content, check)

    def ports_beside(self, _instance: Instance) -> Mapping[int, int]:
        """See `base.FullRuntime`."""
        return {}

    def way_in(
        self, instance: Instance, client: Sequence[str], variables: Mapping[str, str], argv: Sequence[str],
        environ: Mapping[str, str], *, tty: bool,
    ) -> tuple[tuple[str, ...], dict[str, str]]:  # fmt: skip
        """Through the engine's own command line, which knows terminals; values do not stand in its words."""
        from envkit.drivers.runtimes.entering import inside

        return inside(self.endpoint, instance, client, variables, argv, environ, tty=tty)

    def silence(self) -> str:
        """Why the engine does not answer now, asked anew within a few seconds; empty when it does."""
        from envkit.drivers.engine.discovery import ask

        try:
            ask(self.endpoint.url)
        except (OSError, ValueError) as error:
            return str(error)
        return ""

    def published(self) -> dict[int, Holder]:
        """Host ports that running containers of this engine publish, with the container and its environment."""
        with translated("listing containers"):
            rows = self.api.containers()
        return held_ports(rows)

    # Inside

    def _clear_namesake(self, name: str, environment: str) -> None:
        """A container of ours that was created and never seen again is removed; anybody else's is an error."""
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
        """A start that failed while a port is held by another failed because of it, whatever the engine's words."""
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
