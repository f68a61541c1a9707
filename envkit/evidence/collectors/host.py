"""Collects facts about this machine: memory, disks, load, limits, and which process listens on which port."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from envkit.base.abilities import able
from envkit.base.caller import Caller
from envkit.base.paths import Paths
from envkit.drivers.runtimes.base import OnEngine
from envkit.evidence.collectors.context import CollectionContext, Collector
from envkit.evidence.findings import DiskFact
from envkit.inventory.drivers import Drivers

FILES = (
    "/proc/meminfo", "/proc/loadavg", "/proc/pressure/cpu", "/proc/pressure/memory", "/proc/pressure/io",
    "/proc/self/cgroup", "/proc/self/limits", "/proc/mounts", "/proc/sys/fs/file-nr",
    "/proc/sys/fs/inotify/max_user_instances", "/proc/sys/fs/inotify/max_user_watches",
    "/proc/sys/vm/overcommit_memory",
    "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.events",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    "/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/pids.max", "/etc/os-release",
)  # fmt: skip
"""Files in which Linux reports its state and limits. They do not exist on other systems."""

TOP = 25
"""Number of processes that are listed: those that use the most memory."""


def host(scene: CollectionContext) -> None:
    """Collect memory, disks, load, kernel, control groups, the largest processes, and what the kernel killed."""
    import psutil

    scene.bundle.text("host/summary.txt", "".join(f"{line}\n" for line in _summary(scene)))
    parts = []
    for name in FILES:
        with suppress(OSError):
            parts.append(f"# {name}\n{Path(name).read_text(errors='replace').rstrip()}\n")
    scene.bundle.text("host/kernel.txt", "\n".join(parts))
    rows = []
    for one in psutil.process_iter(["pid", "ppid", "name", "username", "memory_info", "status"]):
        memory = one.info["memory_info"]
        rows.append((memory.rss if memory else 0, one.info))
    rows.sort(key=lambda row: -row[0])
    lines = [f"{size >> 20:>7} MiB {it['pid']:>8} {it['status']:<10} {it['name']}" for size, it in rows[:TOP]]
    scene.bundle.text("host/processes.txt", "\n".join([f"{len(rows)} processes; the largest:", *lines, ""]))
    with scene.noted("host/killed.txt"):
        scene.bundle.text("host/killed.txt", _killed())


def _summary(scene: CollectionContext) -> Iterator[str]:
    import psutil

    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    yield f"time      {time.strftime('%Y-%m-%dT%H:%M:%S%z')}"
    yield f"kernel    {platform.platform()} ({platform.machine()})"
    yield f"processors {os.cpu_count()}, load {' '.join(f'{one:.2f}' for one in os.getloadavg())}"
    yield f"memory    {memory.available >> 20} of {memory.total >> 20} MiB available; swap {swap.used >> 20} MiB used"
    for fact in disks([*places(scene.paths, scene.drivers.caller), *engine_places(scene.drivers)]):
        files = "" if fact.files is None else f", {fact.files} files"
        yield f"disk      {fact.free >> 20} MiB{files} free at {fact.path}{' (FULL)' if fact.full else ''}"


def places(paths: Paths, caller: Caller) -> list[Path]:
    """Return the folders of this machine to which the environment, the suite and the evidence write."""
    temporary = caller.environ.get("TMPDIR") or tempfile.gettempdir()  # gettempdir takes another folder if this is full
    return [paths.home, paths.services, caller.cache, Path(temporary), Path.cwd()]


def engine_places(drivers: Drivers) -> list[Path]:
    """Return the folder in which the engine keeps its containers, if the engine runs on this machine."""
    with suppress(Exception):
        engine = able(drivers.backend, OnEngine)
        if engine and engine.endpoint.local:
            return [Path(str(engine.api.info()["DockerRootDir"]))]
    return []


def disks(wanted: list[Path]) -> list[DiskFact]:
    """Return the free space of each file system once. For a missing path, its nearest existing parent counts."""
    found: dict[int, DiskFact] = {}
    for path in wanted:
        with suppress(OSError):
            there = next(one for one in (path, *path.parents) if one.exists())
            device = there.stat().st_dev
            if device not in found:
                files = os.statvfs(there)
                found[device] = DiskFact(
                    str(there), shutil.disk_usage(there).free, files.f_favail if files.f_files else None
                )
    return list(found.values())


def _killed() -> str:
    """Return the kernel's messages about disk errors and killed processes. Not every user is allowed to read them."""
    import subprocess

    done = subprocess.run(["dmesg"], capture_output=True, timeout=5, check=False)
    lines = (done.stdout + done.stderr).decode(errors="replace").splitlines()
    words = ("out of memory", "oom", "killed process", "not permitted", "no space", "i/o error")
    return "\n".join([line for line in lines if any(word in line.lower() for word in words)][-200:]) + "\n"


def ports(scene: CollectionContext) -> None:
    """Collect the environment's ports, each with the process that listens there, then all other listening ports."""
    import psutil

    listening: dict[int, set[str]] = {}
    for row in psutil.net_connections(kind="tcp"):
        if row.status == psutil.CONN_LISTEN and row.laddr:
            who = f"{row.laddr.ip} pid {row.pid or '?'} {_name(row.pid)}".rstrip()
            listening.setdefault(row.laddr.port, set()).add(who)
    own = scene.findings.ports or scene.environment.host_ports()
    lines = [f"{port:>6} {name}: {', '.join(sorted(listening.get(port, {'free'})))}" for port, name in own.items()]
    rest = [f"{port:>6} {', '.join(sorted(who))}" for port, who in sorted(listening.items()) if port not in own]
    scene.bundle.text("host/ports.txt", "\n".join(["ports of the environment:", *lines, "", "other ports:", *rest, ""]))


def _name(pid: int | None) -> str:
    import psutil

    try:
        return psutil.Process(pid).name() if pid else ""
    except psutil.Error:
        return ""


COLLECTORS = (
    Collector("host", host, 15),
    Collector("ports", ports, 15),
)
