"""Direct access to a container engine, without the code under test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import docker
from docker.errors import APIError, NotFound

from envkit.drivers.engine.discovery import find

STAND_IN = "localhost/envkit-standin/python:3.11"
PUBLIC = "docker.io/library/python:3.12-slim"
CLUSTER_LABEL = "io.x-k8s.kind.cluster"


class Engine:
    """Docker or Podman, as `name` says."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.url = find(name, os.environ).url
        self.client = docker.DockerClient(base_url=self.url, timeout=60)
        self.api = self.client.api
        self.overlay = os.environ.get("ENVKIT_OVERLAY", "standins" if self._has(STAND_IN) else "")

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def _has(self, image: str) -> bool:
        try:
            self.api.inspect_image(image)
        except NotFound:
            return False
        return True

    @property
    def python(self) -> str:
        """Return the name of a local image with Python and a shell."""
        if self._has(STAND_IN):
            return STAND_IN
        if not self._has(PUBLIC):
            self.client.images.pull(PUBLIC)
        return PUBLIC

    # Queries

    def rows(self, environment: str) -> list[dict[str, Any]]:
        """Return the inspected containers of the environment, found by envkit's label, by kind's label, or by name."""
        found: dict[str, dict[str, Any]] = {}
        for label in (f"envkit.env={environment}", f"{CLUSTER_LABEL}=envkit-{environment}"):
            for row in self.api.containers(all=True, filters={"label": label}):
                try:
                    found[row["Id"]] = self.api.inspect_container(row["Id"])
                except NotFound:
                    continue
        return list(found.values())

    def ids(self, environment: str) -> dict[str, str]:
        """Return the container ids by service; the id of the cluster's node is under `cluster`."""
        return {_service(row): str(row["Id"]) for row in self.rows(environment)}

    def inspect(self, environment: str, service: str) -> dict[str, Any]:
        """Return the inspected container of one service."""
        return next(row for row in self.rows(environment) if _service(row) == service)

    def volumes_of(self, environment: str) -> set[str]:
        """Return the volumes that its containers mount, with anonymous ones."""
        mounts = [mount for row in self.rows(environment) for mount in row.get("Mounts") or []]
        return {str(mount["Name"]) for mount in mounts if mount.get("Type") == "volume"}

    def networks_of(self, environment: str) -> list[str]:
        """Return the environment's networks, found by label or by name."""
        rows = self.api.networks()
        label = {"envkit.env": environment}
        return [
            str(row["Name"])
            for row in rows
            if label.items() <= (row.get("Labels") or {}).items() or row["Name"] == f"envkit-{environment}"
        ]

    def existing(self, volumes: set[str]) -> set[str]:
        """Return the volumes that still exist."""
        return volumes & {str(row["Name"]) for row in self.api.volumes().get("Volumes") or []}

    def execute(self, container: str, *argv: str) -> str:
        """Run a command in a container and return its output; fail the test if it fails."""
        made = self.api.exec_create(container, list(argv))
        output = bytes(self.api.exec_start(made["Id"])).decode(errors="replace")
        code = self.api.exec_inspect(made["Id"])["ExitCode"]
        assert code == 0, f"{argv} ended with {code}: {output}"
        return output

    # Resources that do not belong to envkit

    @contextmanager
    def container(self, name: str, port: int | None = None, **labels: str) -> Iterator[str]:
        """Run a container that does not belong to envkit, and yield its id."""
        binding = {"8000/tcp": ("127.0.0.1", port)} if port else {}
        made = self.api.create_container(
            self.python,
            ["python3", "-m", "http.server", "8000"],
            name=name,
            labels=labels,
            ports=[8000],
            host_config=self.api.create_host_config(port_bindings=binding),
        )
        try:
            self.api.start(made["Id"])
            yield str(made["Id"])
        finally:
            self.api.remove_container(made["Id"], force=True, v=True)

    @contextmanager
    def network(self, name: str, **labels: str) -> Iterator[str]:
        """Create a network that does not belong to envkit."""
        made = self.api.create_network(name, driver="bridge", labels=labels)
        try:
            yield str(made["Id"])
        finally:
            self.api.remove_network(made["Id"])

    @contextmanager
    def volume(self, name: str, **labels: str) -> Iterator[str]:
        """Create a volume that does not belong to envkit."""
        self.api.create_volume(name, labels=labels)
        try:
            yield name
        finally:
            self.api.remove_volume(name, force=True)

    def sweep(self, environment: str) -> None:
        """Remove what `down` failed to remove, so that one failure does not cause others."""
        for row in self.rows(environment):
            _tolerant(self.api.remove_container, row["Id"], v=True, force=True)
        for name in self.networks_of(environment):
            _tolerant(self.api.remove_network, name)


def answers(url: str) -> bool:
    """Return whether an engine answers at the address."""
    try:
        with closing(docker.DockerClient(base_url=url, timeout=5)) as client:
            return bool(client.ping())
    except (APIError, docker.errors.DockerException, OSError):
        return False


def _service(row: dict[str, Any]) -> str:
    labels = row["Config"].get("Labels") or {}
    return str(labels.get("envkit.service") or ("cluster" if CLUSTER_LABEL in labels else row["Name"].lstrip("/")))


def _tolerant(remove: Any, *args: Any, **kwargs: Any) -> None:
    try:
        remove(*args, **kwargs)
    except APIError as error:
        print(f"while sweeping: {error}")
