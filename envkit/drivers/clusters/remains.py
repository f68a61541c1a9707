"""Cleans up after the creation of a cluster failed or was killed: saves the nodes' logs, ends kind's processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from envkit.base.errors import EnvkitError
from envkit.base.owner import Claim
from envkit.base.paths import make_folder, write_private
from envkit.drivers.runtimes.marked import ours

if TYPE_CHECKING:
    import psutil

    from envkit.drivers.clusters.nodes import Nodes

TOLD = {
    "kubelet.log": ("journalctl", "--unit=kubelet", "--no-pager", "--lines=2000"),
    "containerd.log": ("journalctl", "--unit=containerd", "--no-pager", "--lines=500"),
    "containers.txt": ("ctr", "--namespace=k8s.io", "containers", "list"),
    "pods.log": ("sh", "-c", 'for f in /var/log/pods/*/*/*.log; do echo "== $f"; tail -n 200 "$f"; done'),
}
"""Maps the name of a log file to the command that prints its content in every node."""


def save_logs(nodes: Nodes, folder: Path) -> list[Path]:
    """Save the logs of every node; return the paths of the files. The file of a missing log contains the error.

    Never raises `EnvkitError`.
    """
    saved: list[Path] = []
    with suppress(EnvkitError):
        for node in nodes.all():
            place = folder / node.name
            make_folder(place)
            saved.append(_kept(place / "node.log", partial(nodes.logs, node.name)))
            for name, argv in TOLD.items() if node.state == "running" else ():
                saved.append(_kept(place / name, partial(_output, nodes, node.name, argv)))
    return saved


def _output(nodes: Nodes, node: str, argv: Sequence[str]) -> str:
    return nodes.execute(node, argv)[1]


def _kept(path: Path, ask: Callable[[], str]) -> Path:
    try:
        write_private(path, ask())
    except EnvkitError as error:
        write_private(path, f"not available: {error.message}\n")
    return path


def end_processes(environment: str, cluster: str, claim: Claim) -> list[int]:
    """End every `kind create` of this environment that still runs after its envkit died, with its process group.

    Returns the pids of these processes. Each has the environment's marker variable, an owner that the claim accepts,
    and this cluster's name in its command line.
    """
    import psutil

    ended = []
    for process in _orphans(environment, cluster, claim):
        with suppress(ProcessLookupError, PermissionError, psutil.Error):
            group = os.getpgid(process.pid)
            os.killpg(group, signal.SIGKILL) if group == process.pid else process.kill()
            process.wait(5)
            ended.append(process.pid)
    return ended


def _orphans(environment: str, cluster: str, claim: Claim) -> Iterator[psutil.Process]:
    import psutil

    for marked in ours(environment, claim):
        with suppress(psutil.Error):
            argv = (process := psutil.Process(marked.pid)).cmdline()
            if cluster in argv and "create" in argv:
                yield process
