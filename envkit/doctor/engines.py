"""Check whether container engines are installed, running and reachable, and what rootless engines require."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from envkit.base.errors import EngineError
from envkit.doctor.finding import ENGINES, Finding, Fix, State
from envkit.doctor.host import RUN_SECONDS, Host
from envkit.drivers.engine.discovery import ask
from envkit.drivers.engine.endpoint import Endpoint
from envkit.drivers.engine.reach import check

INSTALL = {
    "docker": "https://docs.docker.com/engine/install/",
    "podman": "https://podman.io/docs/installation",
}
CONTROLLERS = ("cpu", "memory", "pids")
"""The cgroup controllers that a rootless engine needs to enforce limits of containers."""

DELEGATE = (
    "mkdir -p /etc/systemd/system/user@.service.d",
    "printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' >/etc/systemd/system/user@.service.d/delegate.conf",
    "systemctl daemon-reload",
)


def engines(host: Host) -> Iterator[Finding]:
    """Check whether any engine answers, then check Docker, Podman, `DOCKER_HOST` and `CONTAINER_HOST`."""
    try:
        found, silent = host.engines
    except EngineError as error:
        yield Finding("engine", ENGINES, "lacking", error.message, error.hint)
        return
    if found:
        yield Finding("engine", ENGINES, "ok", "; ".join(str(endpoint) for endpoint in found))
    else:
        seen = "no container engine answers" + "".join(f"; {url}: {why}" for url, why in silent.items())
        yield Finding("engine", ENGINES, "lacking", seen, "start or install one: see below")
    yield from _out_of_reach(found)
    yield _docker(host, [it for it in found if it.engine == "docker"], bool(found), silent)
    yield _podman(host, [it for it in found if it.engine == "podman"], bool(found))
    yield from _explicit(host, silent)


def _out_of_reach(found: Iterable[Endpoint]) -> Iterator[Finding]:
    """Report engines that publish ports on another machine's 127.0.0.1, as in a CI job that runs in a container."""
    for endpoint in found:
        try:
            check(endpoint)
        except EngineError as error:
            yield Finding("reach", ENGINES, "lacking", error.message, error.hint)


def _needed(answers: bool) -> str:
    return "; not needed, another engine answers" if answers else ""


def _docker(host: Host, found: list[Endpoint], any_answers: bool, silent: Mapping[str, str]) -> Finding:
    name = "docker"
    if found:
        return Finding(name, ENGINES, "ok", f"{found[0].version} at {found[0].url}")
    denied = [url for url, why in silent.items() if "ermission denied" in why]
    state: State = "ok" if any_answers else "warning"
    if denied:
        user = host.environ.get("USER") or str(host.uid)
        return Finding(
            name, ENGINES, "warning", f"this user is not allowed to use {denied[0]}",
            "log in again after that command, or use rootless Podman", (f"usermod -aG docker {shlex.quote(user)}",),
        )  # fmt: skip
    if host.which("dockerd"):
        start = "systemctl start docker" if host.exists("/run/systemd/system") else "service docker start"
        return Finding(name, ENGINES, state, f"installed, but not running{_needed(any_answers)}", "start it", (start,))
    if host.which("docker"):
        seen = f"only its command line is installed{_needed(any_answers)}"
        return Finding(name, ENGINES, state, seen, f"start Docker Desktop, or install the engine: {INSTALL[name]}")
    return Finding(name, ENGINES, state, f"not installed{_needed(any_answers)}", f"install it: {INSTALL[name]}")


def _podman(host: Host, found: list[Endpoint], any_answers: bool) -> Finding:
    name = "podman"
    if found:
        return Finding(name, ENGINES, "ok", f"{found[0].version} at {found[0].url}")
    if not host.which("podman"):
        state: State = "ok" if any_answers else "warning"
        return Finding(name, ENGINES, state, f"not installed{_needed(any_answers)}", f"install it: {INSTALL[name]}")
    if host.system == "darwin":
        return Finding(name, ENGINES, "warning", "the Podman machine is not running", "podman machine start")
    socket = socket_of(host)
    return Finding(
        name, ENGINES, "warning",
        f"installed, but its API does not answer at {socket}; envkit starts it for each command",
        "systemctl --user start podman.socket", fix=Fix(f"start Podman's API service at {socket}", lambda: serve(host)),
    )  # fmt: skip


def _explicit(host: Host, silent: Mapping[str, str]) -> Iterator[Finding]:
    """Report an engine address in DOCKER_HOST or CONTAINER_HOST that does not answer."""
    for variable in ("DOCKER_HOST", "CONTAINER_HOST"):
        url = host.environ.get(variable, "")
        why = silent.get(url)
        if url and why:
            yield Finding(variable, ENGINES, "lacking", f"{url} does not answer: {why}", f"unset {variable}")


def socket_of(host: Host) -> Path:
    """Return the path of the socket of Podman's API service for this user."""
    runtime = host.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{host.uid}"
    return Path(runtime if host.uid else "/run") / "podman/podman.sock"


def serve(host: Host) -> str:
    """Start Podman's API service permanently and return the command that started it.

    The function starts systemd's socket unit, or the service itself if systemd cannot start the unit. Raises `NotReady`
    if the service does not answer within 15 s.
    """
    from envkit.base.waiting import until

    socket = socket_of(host)
    unit = ["systemctl", *(["--user"] if host.uid else []), "start", "podman.socket"]
    if host.says(*unit)[0] == 0:
        return " ".join(unit)
    socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    socket.unlink(missing_ok=True)  # no engine answers: an earlier service left the file
    argv = [str(host.which("podman")), "system", "service", "--time=0", f"unix://{socket}"]
    subprocess.run(  # the shell ends at once, so the service survives this process
        ["/bin/sh", "-c", '"$@" </dev/null >/dev/null 2>&1 &', "sh", *argv],
        start_new_session=True, env=dict(host.environ), check=False, timeout=RUN_SECONDS, cwd="/",
    )  # fmt: skip

    def attempt() -> str | None:
        try:
            ask(f"unix://{socket}")
        except (OSError, ValueError) as error:
            return str(error)
        return None

    until(attempt, what="Podman's API service to answer", seconds=15.0)
    return shlex.join(argv)


def rootless(host: Host) -> Iterator[Finding]:
    """Check that each rootless engine has cgroup v2 and the controllers that systemd must delegate to the user."""
    for endpoint in host.endpoints:
        if endpoint.rootless and os.getuid():
            yield _delegated(host, endpoint)


def _delegated(host: Host, endpoint: Endpoint) -> Finding:
    name = f"rootless {endpoint.engine}"
    if not host.exists("/sys/fs/cgroup/cgroup.controllers"):
        seen = "cgroup v1: neither memory limits nor a kind cluster work without root"
        return Finding(
            name, ("containers",), "lacking", seen, "boot with cgroup v2, or use the engine as root",
            ("grubby --update-kernel=ALL --args=systemd.unified_cgroup_hierarchy=1",),
        )  # fmt: skip
    service = f"/sys/fs/cgroup/user.slice/user-{host.uid}.slice/user@{host.uid}.service/cgroup.controllers"
    has = host.read(service).split()
    missing = [controller for controller in CONTROLLERS if controller not in has]
    if missing:
        seen = f"cgroup controllers not delegated to this user: {', '.join(missing)}"
        return Finding(name, ENGINES, "lacking", seen, "delegate them, then log in again", DELEGATE)
    return Finding(name, ENGINES, "ok", "the cgroup controllers are delegated to this user")


def cgroups(host: Host) -> Iterator[Finding]:
    """Check the cgroup version of the host, which containers and the node use."""
    if host.system != "linux":
        return
    if host.exists("/sys/fs/cgroup/cgroup.controllers"):
        yield Finding("cgroups", ENGINES, "ok", "version 2")
    elif host.exists("/sys/fs/cgroup/memory"):
        yield Finding(
            "cgroups", ENGINES, "warning", "version 1, which kubelets since Kubernetes 1.35 refuse by default",
            "boot with systemd.unified_cgroup_hierarchy=1, or use an older node image",
        )  # fmt: skip
    else:
        yield Finding("cgroups", ENGINES, "warning", "no memory controller: memory limits do not work")


CHECKS = (
    ("engines", engines),
    ("rootless", rootless),
    ("cgroups", cgroups),
)
