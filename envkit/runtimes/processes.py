"""Services as plain processes of the user's own: no engine, nothing but a folder and a marker in the environment.

Each is the leader of a session of its own, under a small shell that outlives it to write down its exit code. Its folder
holds `instance.json` (who it is), `log`, `exit`, `root/` (its files) and `data/` (its data, mode 0700). A process is
found by its folder or, when that is lost, by the marker; its start time guards against a pid that was given away again.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from envkit import labels
from envkit.errors import EngineError
from envkit.facts import Instance, State
from envkit.paths import write_private
from envkit.ports import holders
from envkit.runtimes import limits
from envkit.runtimes.base import Unit
from envkit.runtimes.containers import port_taken
from envkit.runtimes.marked import Marked, alive, marked_processes, start_time

_SHIM = 'cd "$2" || exit 126; exit_file=$1; shift 2; "$@"; code=$?; printf %s "$code" >"$exit_file"; exit "$code"'
"""Runs the program as its child and keeps the exit code, which a parent that has ended cannot be told."""

FOUND = 5.0
"""Seconds for a killed process to be gone."""


@dataclass(frozen=True)
class Account:
    """An unprivileged user to run a program as, where envkit is root and the program refuses that."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Launch:
    """A unit made ready: argv with the program's real path, its variables, who it runs as, and the program's identity."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    account: Account | None = None
    identity: str = ""


Prepare = Callable[[Unit, Path], Launch]
"""Makes a unit ready in its folder (finds the program, fills the data directory)."""


def never(_unit: Unit, _folder: Path) -> Launch:
    """For a runtime that starts nothing: `down`."""
    raise EngineError("this runtime starts nothing")


class Processes:
    """The runtime `processes`."""

    def __init__(self, home: Path, prepare: Prepare) -> None:
        """`home` is the folder of the environment's services; `prepare` finds a unit's program and fills its data."""
        self.home = home
        self._prepare = prepare

    # Runtime

    def observe(self, environment: str) -> list[Instance]:
        """By folder, and by marker what has lost its folder."""
        found = {name: instance for name in self._names() if (instance := self._read(name)) is not None}
        for marked in marked_processes(environment):
            if marked.leader and marked.service and marked.service not in found:
                found[marked.service] = _lost(marked)
        return list(found.values())

    def start(self, unit: Unit) -> Instance:
        """Start it in its own session; recorded before anything else happens."""
        folder = self.home / unit.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o711)
        taken = holders([port for port in unit.host_ports.values() if port], {})
        if taken:
            raise port_taken({holder.port: unit.name for holder in taken}, taken)
        launch = self._prepare(unit, folder)
        process = self._spawn(unit, folder, launch)
        instance = Instance(
            id=str(process.pid),
            name=labels.resource_name(unit.environment, unit.name),
            service=unit.name,
            state="running",
            fingerprint=unit.fingerprint,
            image=unit.image,
            image_id=launch.identity,
            root=unit.root,
            published=dict(unit.host_ports),
            started_at=datetime.now(UTC).isoformat(),
            memory=unit.service.memory or 0,
        )
        self._write(folder, instance, start_time(process.pid))
        if unit.service.memory and (group := limits.group(unit.environment, unit.name)):
            limits.confine(group, process.pid, unit.service.memory)
        return instance

    def look(self, instance: Instance) -> Instance:
        """The process now; `dead` when nothing is known of it any more."""
        return self._read(instance.service) or replace(instance, state="dead")

    def logs(self, instance: Instance, tail: int | None = None) -> str:
        """What it wrote."""
        try:
            text = (self.home / instance.service / "log").read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return text if tail is None else "\n".join(text.splitlines()[-tail:])

    def remove(self, instance: Instance, grace: float = 0.0) -> None:
        """End the whole session: SIGTERM, `grace` seconds, SIGKILL; then its folder."""
        members = _session(int(instance.id)) if instance.id.isdigit() else []
        if grace:
            _signal(members, signal.SIGTERM)
            _wait_gone(members, grace)
        _signal(members, signal.SIGKILL)
        if not _wait_gone(members, FOUND):
            raise EngineError(f"{instance.name} (pid {instance.id}) does not end", hint=f"kill -9 {instance.id}")
        shutil.rmtree(self.home / instance.service, ignore_errors=True)
        if group := _group_of(instance):
            limits.remove(group)

    def execute(self, instance: Instance, argv: Sequence[str]) -> tuple[int, str]:
        """Run a command beside it, with its variables: exit code and output."""
        folder = self.home / instance.service
        env = {**os.environ, **json.loads((folder / "environ.json").read_text())}
        try:
            done = subprocess.run(list(argv), capture_output=True, timeout=10, env=env, cwd=folder, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return 127, str(error)
        return done.returncode, (done.stdout + done.stderr).decode(errors="replace")

    def limit_of(self, instance: Instance) -> str | None:
        """The limit of its control group; None where this user may make none."""
        group = _group_of(instance)
        return limits.confined(group) if group else None

    def restart(self, instance: Instance, grace: float) -> Instance:
        """Stop and start with the same words, variables and data."""
        raise EngineError(
            f"{instance.service} cannot be restarted in lane embedded yet", hint="`up` replaces what died"
        )

    def published(self) -> dict[int, str]:
        """Ports that containers hold: none; a process holds its port itself."""
        return {}

    # Inside

    def _names(self) -> list[str]:
        return sorted(path.parent.name for path in self.home.glob("*/instance.json"))

    def _spawn(self, unit: Unit, folder: Path, launch: Launch) -> subprocess.Popen[bytes]:
        marks = {labels.MARKER: unit.environment, "ENVKIT_SERVICE": unit.name, "ENVKIT_FINGERPRINT": unit.fingerprint}
        write_private(folder / "environ.json", json.dumps(dict(launch.env)))
        as_user: dict[str, Any] = {}
        if launch.account:
            as_user = {"user": launch.account.uid, "group": launch.account.gid, "extra_groups": []}
            os.chown(folder, launch.account.uid, launch.account.gid)
        with (folder / "log").open("wb") as log:
            return subprocess.Popen(
                ["/bin/sh", "-c", _SHIM, "envkit", str(folder / "exit"), str(folder), *launch.argv],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={"PATH": os.environ.get("PATH", os.defpath), **launch.env, **marks}, **as_user,
            )  # fmt: skip

    def _write(self, folder: Path, instance: Instance, began: float) -> None:
        write_private(folder / "instance.json", json.dumps({**asdict(instance), "began": began}))

    def _read(self, name: str) -> Instance | None:
        folder = self.home / name
        try:
            raw = json.loads((folder / "instance.json").read_text())
        except (OSError, ValueError):
            return None
        began = raw.pop("began")
        raw["published"] = {int(inner): outer for inner, outer in raw["published"].items()}
        instance = Instance(**raw)
        if alive(int(instance.id), began):
            return instance
        state: State = "exited"
        try:
            code = int((folder / "exit").read_text())
        except (OSError, ValueError):
            code = 128 + signal.SIGKILL  # the shell that writes exit codes down was killed with it
        group = _group_of(instance)
        return replace(instance, state=state, exit_code=code, oom_killed=bool(group and limits.ran_out(group)))


def _group_of(instance: Instance) -> Path | None:
    environment = instance.name.removeprefix("envkit-").removesuffix(f"-{instance.service}")
    return limits.group(environment, instance.service)


def _lost(marked: Marked) -> Instance:
    """A process whose folder is gone: found, but not to be kept."""
    name = labels.resource_name(marked.environment, marked.service)
    return Instance(str(marked.pid), name, marked.service, "other", fingerprint="")


def _session(leader: int) -> list[int]:
    """Every process of the leader's session."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader:
                found.append(process.pid)
        except OSError:
            continue
    return found


def _signal(pids: Sequence[int], signum: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            continue


def _wait_gone(pids: Sequence[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
