"""A user's environment of plain processes: it needs no engine, and all of its parts are on the host."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, cast

import psutil
import pytest

from envkit.base.paths import cache_home
from envkit.drivers.runtimes import limits
from envkit.drivers.supply.binaries import BinaryUnavailable, Wanted, find
from tests.pictures.terminal import Shown, at_terminal
from tests.support import ports
from tests.support.box import Box
from tests.support.engines import Engine

ASSETS = "KUBEBUILDER_ASSETS"


class NoEngine:
    """An engine without any objects; it has the methods that `Box` calls."""

    name = "auto"
    overlay = ""

    def rows(self, _environment: str) -> list[dict[str, Any]]:
        """Return no containers."""
        return []

    def networks_of(self, _environment: str) -> list[str]:
        """Return no networks."""
        return []

    def volumes_of(self, _environment: str) -> set[str]:
        """Return no volumes."""
        return set()

    def existing(self, _volumes: set[str]) -> set[str]:
        """Return none of the volumes."""
        return set()

    def sweep(self, _environment: str) -> None:
        """Do nothing: there is nothing to remove."""


class EmbeddedBox(Box):
    """One environment of processes."""

    def environ(self, **more: str) -> dict[str, str]:
        """Return the usual variables and the folder of the Kubernetes programs."""
        assets = {ASSETS: os.environ[ASSETS]} if os.environ.get(ASSETS) else {}
        return super().environ(**{**assets, **more})

    def shown(self, verb: str, *words: str, columns: int = 100, **environ: str) -> Shown:
        """Run a command on a terminal with that many columns and return its output.

        The command line has the form of the documents.
        """
        base = {key: value for key, value in self.environ().items() if key not in ("NO_COLOR", "FORCE_COLOR", "CI")}
        return at_terminal(
            self.argv(verb, *words), {**base, "ENVKIT_PROGRAM": "./dev", **environ}, self.cwd, columns
        )  # fmt: skip

    @property
    def services(self) -> Path:
        """Return the folder that contains the services' folders."""
        return Path(f"/var/tmp/envkit-{self.name}") if os.getuid() == 0 else self.state / self.name / "services"

    def ids(self) -> dict[str, str]:
        """Return the pid of each service's leader: the process that has the marker and leads its session."""
        return {service: str(pid) for service, pid in self.marked() if os.getsid(pid) == pid}

    def marked(self) -> list[tuple[str, int]]:
        """Return the service and the pid of each process with the marker."""
        found = []
        for process in psutil.process_iter():
            try:
                environ = process.environ()
                if environ.get("ENVKIT_ENV") == self.name:
                    found.append((environ.get("ENVKIT_SERVICE", ""), process.pid))
            except psutil.Error:
                continue
        return found

    def processes(self) -> list[psutil.Process]:
        """Return all processes of the environment.

        These are the marked processes and their children; a child may have changed its variables.
        """
        found = {pid: psutil.Process(pid) for _, pid in self.marked()}
        for process in tuple(found.values()):
            found |= {child.pid: child for child in process.children(recursive=True)}
        return list(found.values())

    def program(self, service: str) -> psutil.Process:
        """Return the process that the service's shell started."""
        (child,) = psutil.Process(int(self.ids()[service])).children()
        return child

    def left_on_the_host(self) -> list[str]:
        """Return what is left, including folders, control groups, and processes that only their folder identifies."""
        found = super().left_on_the_host()
        if self.services.exists():
            found += [f"file {path}" for path in (self.services, *self.services.rglob("*"))]
        found += [f"group {group}" for group in limits.groups(self.name, "*")]
        for process in psutil.process_iter():
            try:
                if process.cwd().startswith(f"{self.services}/") or any(
                    f"{self.services}/" in word for word in process.cmdline()
                ):
                    found.append(f"process {process.pid} {process.name()} in {process.cwd()}")
            except psutil.Error:
                continue
        return found


def box(name: str, folder: Path, *flags: str, ports: tuple[int, ...] = ()) -> EmbeddedBox:
    """Return an environment in the embedded lane."""
    return EmbeddedBox(cast(Engine, NoEngine()), name, folder, ("--lane", "embedded", *flags), ports=ports)


@contextmanager
def default_profile(folder: Path) -> Iterator[EmbeddedBox]:
    """Yield an environment of the default profile on free ports; the test fails if anything of it remains.

    The caller brings it up.
    """
    needed()
    number = ports.offset()
    moved = tuple(port + number for port in ports.GATEWAY)
    made = box(f"e2e-emb-{uuid.uuid4().hex[:6]}", folder, "--port-offset", str(number), ports=moved)
    try:
        yield made
    finally:
        left = made.close()
    assert not left, left


def needed() -> None:
    """Skip the test, or fail it in CI, if no API server is available."""
    if silence():
        pytest.skip(silence())


@cache
def silence() -> str:
    """Return why no API server is available without minutes of compiling, or an empty string if one is."""
    for name in ("kubernetes", "etcd"):
        try:
            if find(Wanted(name), os.environ, cache_home(os.environ)) is None:
                return f"no {name} programs are here: set {ASSETS} (tests/host/prepare prints it)"
        except BinaryUnavailable as error:
            return error.message
    return ""


def segment_of(data: Path) -> str:
    """Return the key and the id of PostgreSQL's shared memory for this data directory."""
    return " ".join((data / "postmaster.pid").read_text().splitlines()[6].split())


def segments() -> set[str]:
    """Return the key and the id of each System V segment of this machine."""
    table = Path("/proc/sysvipc/shm")
    return {" ".join(line.split()[:2]) for line in table.read_text().splitlines()[1:]} if table.exists() else set()
