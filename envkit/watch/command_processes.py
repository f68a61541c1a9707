"""Finds and ends the processes of a command by a marker in their environment variables.

A process can leave its process group and its parent, but it keeps the marker.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from envkit.base.owner import namespace
from envkit.drivers.runtimes.marked import carrying

if TYPE_CHECKING:
    import psutil

RUN = "ENVKIT_RUN"
"""The variable with the path of the run's folder. Every process of the command has it."""

GRACE = 1.0
"""Seconds between SIGTERM and SIGKILL when the supervisor ends a command after the wrapper's death."""


def end_processes(run: Path, grace: float = GRACE) -> list[int]:
    """End every process of the run with SIGTERM, then after `grace` seconds with SIGKILL; return their process ids.

    In another mount namespace the same path can be another folder, so processes in other namespaces are not ended.
    """
    import psutil

    found = _marked(run)
    for process in found:
        with suppress(psutil.Error):
            process.terminate() if grace else process.kill()
    deadline = time.monotonic() + grace
    psutil.wait_procs(found, timeout=grace)
    for _ in range(3):  # also processes that were started in the meantime
        left = _marked(run)
        if not left:
            break
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=max(0.5, deadline - time.monotonic()))
    return [process.pid for process in found]


def _marked(run: Path) -> list[psutil.Process]:
    import psutil

    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for pid, environ in carrying(RUN):
        here = all(namespace(kind, pid) == namespace(kind) for kind in ("mnt", "pid"))
        if pid not in spared and environ[RUN] == str(run) and here:
            with suppress(psutil.Error):
                found.append(psutil.Process(pid))
    return found
