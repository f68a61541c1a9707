"""Check the memory, disk space, open files and processes that are available."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from envkit.doctor.finding import ENGINES, LANES, Finding, State
from envkit.doctor.host import Host

GIB = 1 << 30
MEMORY = (1 * GIB, 4 * GIB)
"""Limits in bytes: below the first limit the state is `lacking`, below the second limit it is `warning`.

The default profile's Redis can hold 2 GiB of data; a kind node takes about 1 GiB.
"""

DISK = (1 * GIB, 5 * GIB)
"""The same two limits for free disk space. The images of the node and of PostgreSQL take about 4 GiB."""

FILES = (1024, 4096)
PROCESSES = 1024


def _state(has: float, bounds: tuple[float, float]) -> State:
    return "lacking" if has < bounds[0] else "warning" if has < bounds[1] else "ok"


def memory(_host: Host) -> Iterator[Finding]:
    """Check the memory that is available now, without swap."""
    import psutil

    has = psutil.virtual_memory().available
    yield Finding(
        "memory", LANES, _state(has, MEMORY), f"{has / GIB:.1f} GiB available",
        "free some (`list` shows environments; `pause` and `down` free theirs), or lower `options.maxmemory`",
    )  # fmt: skip


def engine_memory(host: Host) -> Iterator[Finding]:
    """Check the memory of each engine that runs in a virtual machine, which has less memory than the host."""
    import psutil

    total = psutil.virtual_memory().total
    for endpoint in host.endpoints:
        has = int(host.info(endpoint).get("MemTotal") or 0)
        if 0 < has < total * 0.9:
            yield Finding(
                f"memory of {endpoint.engine}", ENGINES, _state(has, MEMORY), f"its VM has {has / GIB:.1f} GiB",
                "give it more in its settings (Docker Desktop: Resources; `podman machine set --memory`)",
            )  # fmt: skip


def disk(host: Host) -> Iterator[Finding]:
    """Check the free disk space for envkit's files, and for the images of each local engine."""
    import psutil

    folders = {"state": host.home, "cache": host.cache}
    for endpoint in host.endpoints:
        if endpoint.local:
            info = host.info(endpoint)
            root = info.get("DockerRootDir") or (info.get("store") or {}).get("graphRoot") or ""
            if root and Path(root).is_dir():
                folders[endpoint.engine] = Path(root)
    for what, folder in folders.items():
        there = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
        free = psutil.disk_usage(str(there)).free
        lanes = ENGINES if what in ("docker", "podman") else LANES
        yield Finding(
            f"disk ({what})", lanes, _state(free, DISK), f"{free / GIB:.1f} GiB free for {folder}",
            "free some: `prune` removes old environments, `docker system df` shows the size of images",
        )  # fmt: skip


def files_and_processes(_host: Host) -> Iterator[Finding]:
    """Check this shell's limits of open files and processes; the processes of the embedded lane inherit them."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    has = float("inf") if soft == resource.RLIM_INFINITY else soft
    remedy = f"ulimit -n {hard}" if hard != soft else "raise nofile in /etc/security/limits.conf (as root)"
    yield Finding("open files", ("embedded",), _state(has, FILES), f"at most {soft} at once", remedy)
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    few = soft not in (resource.RLIM_INFINITY, -1) and soft < PROCESSES
    yield Finding(
        "processes", LANES, "warning" if few else "ok",
        "no limit" if soft in (resource.RLIM_INFINITY, -1) else f"at most {soft} at once",
        "raise nproc in /etc/security/limits.conf (as root)",
    )  # fmt: skip


CHECKS = (
    ("memory", memory),
    ("memory of engines", engine_memory),
    ("disk", disk),
    ("limits", files_and_processes),
)
