"""One interface to the fake and the real runtimes, for actions of the contract tests that a runtime does not have."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from envkit.base import labels
from envkit.base.owner import Claim, here
from envkit.base.waiting import Cancel, until
from envkit.config.models import Service
from envkit.drivers.engine.endpoint import Endpoint
from envkit.drivers.runtimes import limits
from envkit.drivers.runtimes.base import Unit
from envkit.drivers.runtimes.containers import Containers
from envkit.drivers.runtimes.fake import FakeEngine, Script
from envkit.drivers.runtimes.fake_supply import FakeImages
from envkit.drivers.runtimes.launching import Launching
from envkit.drivers.runtimes.networks import Networks, NoNetworks
from envkit.drivers.runtimes.processes import Processes
from envkit.drivers.supply.images import Images
from envkit.drivers.supply.programs import Programs
from envkit.planning.facts import Instance

DEBIAN = ("localhost/envkit-standin/debian:bookworm", "docker.io/library/debian:bookworm-slim")
REDIS = ("localhost/envkit-standin/redis:7", "docker.io/library/redis:7-alpine")
"""Candidates: a host without access to a registry has the first, any other host can pull the second."""

STATE = Path(tempfile.gettempdir(), f"envkit-contract-{os.getpid()}")
"""State directory of the environments under test."""

OWNER = here(STATE, str(Path(__file__).parents[2]))
CLAIM = Claim(OWNER)
NUMBER = itertools.count(1)


class Bench:
    """A runtime under test, with one environment and its network. `script` only affects the fake."""

    runtime: Any
    networks: Any
    images: Any

    debian = DEBIAN[0]
    redis = REDIS[0]
    tells_oom = True
    """Whether the engine always reports an OOM kill. Podman on cgroup v1 sometimes does not set its flag."""

    def __init__(self, environment: str) -> None:
        self.environment = environment

    def unit(
        self, service: str = "", *, image: str = "", ports: Mapping[int, int] | None = None, **fields: Any
    ) -> Unit:
        """Return a unit with a new name; by default it sleeps."""
        name, image = service or f"s{next(NUMBER)}", image or self.debian
        fields.setdefault("command", ["sleep", "1000"])
        fields.setdefault("ports", {f"p{inner}": {"container": inner, "host": "auto"} for inner in ports or {}})
        model = Service.model_validate({"image": [image], **fields})
        return Unit(self.environment, OWNER, name, model, image, "f1ngerpr1nt", dict(ports or {}))

    def start(self, service: str = "", *, fake: Script | None = None, **given: Any) -> Instance:
        """Start such a unit. `fake` describes the behaviour of the command to the fake, which cannot run it."""
        unit = self.unit(service, **given)
        if fake is not None:
            self.script(unit.name, fake)
        started: Instance = self.runtime.start(unit)
        return started

    def ended(self, instance: Instance, seconds: float = 20.0) -> Instance:
        """Wait until the instance has ended and return it."""
        now = instance

        def attempt() -> str | None:
            nonlocal now
            now = self.runtime.look(instance)
            return None if not now.running else "running"

        until(attempt, what=f"{instance.service} to end", seconds=seconds)
        return now

    def script(self, service: str, script: Script) -> None:
        """Set the behaviour of a service in the fake. On a real engine this does nothing."""

    def names(self) -> list[str]:
        """Return the names of all containers of the engine, also of those that do not belong to envkit."""
        raise NotImplementedError

    def stranger(self, name: str, *, port: int = 0) -> str:
        """Start a container that does not belong to envkit, and return its id."""
        raise NotImplementedError

    def foreign_network(self, name: str) -> None:
        """Create a network that does not belong to envkit."""
        raise NotImplementedError

    def volumes_of(self, instance: Instance) -> list[str]:
        """Return the names of the instance's anonymous volumes."""
        raise NotImplementedError

    def volumes(self) -> set[str]:
        """Return the names of all volumes of the engine."""
        raise NotImplementedError

    def forget(self, image: str) -> None:
        """Remove an image that a test built."""
        raise NotImplementedError

    def clean(self) -> None:
        """Remove all containers that a test created."""
        for instance in self.runtime.observe(self.environment):
            self.runtime.remove(instance)

    def close(self) -> None:
        """Remove everything and close the engine's client."""
        self.clean()
        self.networks.remove_all(self.environment)


class FakeBench(Bench):
    """The fake engine."""

    def __init__(self, environment: str) -> None:
        super().__init__(environment)
        images = FakeImages(
            there={self.debian: "sha256:debian", self.redis: "sha256:redis"}, declares={self.redis: ["/data"]}
        )
        self.runtime = FakeEngine(images=images, claim=CLAIM)
        self.networks, self.images = self.runtime.networks, self.runtime.images

    def script(self, service: str, script: Script) -> None:
        self.runtime.scripts[service] = script

    def names(self) -> list[str]:
        names: list[str] = self.runtime.names()
        return names

    def stranger(self, name: str, *, port: int = 0) -> str:
        stranger: Instance = self.runtime.stranger(name, port)
        return stranger.id

    def foreign_network(self, name: str) -> None:
        self.networks.there[name] = ""

    def volumes_of(self, instance: Instance) -> list[str]:
        return [name for name in self.runtime.volumes if name.startswith(instance.id)]

    def volumes(self) -> set[str]:
        return set(self.runtime.volumes)

    def forget(self, image: str) -> None:
        del self.images.there[image]

    def close(self) -> None:
        self.runtime.close()


@dataclass
class _Made:
    containers: list[str] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)


class RealBench(Bench):
    """A real engine: Docker or Podman."""

    def __init__(self, environment: str, endpoint: Endpoint) -> None:
        super().__init__(environment)
        self.runtime = Containers(endpoint, CLAIM)
        self.api = self.runtime.api
        self.networks, self.images = Networks(self.api, CLAIM), Images(self.api)
        self.made = _Made()
        self.tells_oom = endpoint.engine == "docker"
        self.debian, self.redis = self._image(DEBIAN), self._image(REDIS)

    def _image(self, candidates: Sequence[str]) -> str:
        here = self.images.ids(candidates)
        return next(iter(here), "") or self.images.pull_first(candidates[1:], None, lambda _said: None, Cancel())

    def names(self) -> list[str]:
        return sorted(str(row["Names"][0]).lstrip("/") for row in self.api.containers(all=True) if row.get("Names"))

    def stranger(self, name: str, *, port: int = 0) -> str:
        made = self.api.create_container(
            image=self.debian, command=["sleep", "1000"], name=name, ports=[80],
            host_config=self.api.create_host_config(port_bindings={80: ("127.0.0.1", port)} if port else {}),
        )  # fmt: skip
        self.made.containers.append(made["Id"])
        self.api.start(made["Id"])
        return str(made["Id"])

    def foreign_network(self, name: str) -> None:
        self.made.networks.append(self.api.create_network(name, driver="bridge")["Id"])

    def volumes_of(self, instance: Instance) -> list[str]:
        mounts: Sequence[Mapping[str, Any]] = self.api.inspect_container(instance.id)["Mounts"]
        return [str(mount["Name"]) for mount in mounts if mount["Type"] == "volume"]

    def volumes(self) -> set[str]:
        return {str(row["Name"]) for row in self.api.volumes()["Volumes"] or []}

    def forget(self, image: str) -> None:
        self.api.remove_image(image, force=True)

    def clean(self) -> None:
        from docker.errors import NotFound

        super().clean()
        for identity in self.made.containers:
            with suppress(NotFound):
                self.api.remove_container(identity, v=True, force=True)
        self.made.containers.clear()
        for network in self.made.networks:
            with suppress(NotFound):
                self.api.remove_network(network)
        self.made.networks.clear()

    def close(self) -> None:
        super().close()
        self.runtime.api.close()


class ProcessBench(Bench):
    """Plain processes, prepared as in an environment. Programs come from PATH."""

    def __init__(self, environment: str, folder: Path) -> None:
        super().__init__(environment)
        self.folder = folder
        self.images = Programs({}, os.environ, folder / "cache")
        self.runtime = Processes(folder / "services", Launching(self.images, folder / "cache"), CLAIM)
        self.networks = NoNetworks()
        self.tells_oom = limits.group(environment, "s", OWNER.key) is not None
        self.strangers: list[subprocess.Popen[bytes]] = []

    def unit(
        self, service: str = "", *, image: str = "", ports: Mapping[int, int] | None = None, **fields: Any
    ) -> Unit:
        """Return a unit with the same arguments that runs as a process."""
        words = [*fields.pop("entrypoint", []), *fields.pop("command", ["sleep", "1000"])]
        model = Service.model_validate({"process": {"command": words, **fields.pop("process", {})}, **fields})
        assert model.process is not None
        name = service or f"s{next(NUMBER)}"
        return Unit(self.environment, OWNER, name, model, model.process.reference, "f1ngerpr1nt", dict(ports or {}))

    def names(self) -> list[str]:
        return [words[0] for process in psutil.process_iter(["cmdline"]) if (words := process.info["cmdline"])]

    def stranger(self, name: str, *, port: int = 0) -> str:
        self.strangers.append(subprocess.Popen([name, "1000"], executable=shutil.which("sleep")))
        return str(self.strangers[-1].pid)

    def clean(self) -> None:
        super().clean()
        for stranger in self.strangers:
            stranger.kill()
            stranger.wait()
        self.strangers.clear()


def labels_of(environment: str) -> dict[str, str]:
    """Return the labels that every container of a service has."""
    return labels.owned(environment, "service", OWNER)
