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
from contextlib import suppress
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
from envkit.runtimes.marked import CLOSE, SERVICE, Marked, alive, marked_processes, start_time

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
    """A unit made ready: argv with the program's real path, its variables, who it runs as, which program it is."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    account: Account | None = None
    identity: str = ""
    stop_signal: str = "TERM"


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
        self._own_home()
        folder.mkdir(mode=0o711)
        taken = holders([port for port in unit.host_ports.values() if port], {})
        if taken:
            raise port_taken({holder.port: unit.name for holder in taken}, taken)
        launch = self._prepare(unit, folder)
        marks = {labels.MARKER: unit.environment, SERVICE: unit.name}
        launch = replace(launch, env={**launch.env, **marks})
        instance = Instance(
            id=str(_spawn(folder, launch)),
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
        return self._begun(folder, instance)

    def _begun(self, folder: Path, instance: Instance) -> Instance:
        """Record it, then put it under its limit."""
        pid = int(instance.id)
        record = {**asdict(instance), "began": start_time(pid)}
        write_private(folder / "instance.json", json.dumps(record))
        if instance.memory and (group := _group_of(instance)):
            limits.confine(group, pid, instance.memory)
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
        self._end(instance, grace)
        shutil.rmtree(self.home / instance.service, ignore_errors=True)
        if group := _group_of(instance):
            limits.remove(group)

    def execute(self, instance: Instance, argv: Sequence[str]) -> tuple[int, str]:
        """Run a command beside it, with its variables: exit code and output."""
        folder = self.home / instance.service
        env = {**os.environ, **json.loads((folder / "launch.json").read_text())["env"]}
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
        folder = self.home / instance.service
        raw = json.loads((folder / "launch.json").read_text())
        account = Account(**raw["account"]) if raw["account"] else None
        self._end(instance, grace)
        (folder / "exit").unlink(missing_ok=True)
        pid = _spawn(folder, Launch(**{**raw, "argv": tuple(raw["argv"]), "account": account}))
        return self._begun(folder, replace(instance, id=str(pid), state="running", exit_code=None))

    def published(self) -> dict[int, str]:
        """Ports that containers hold: none; a process holds its port itself."""
        return {}

    # Inside

    def _names(self) -> list[str]:
        return sorted(path.parent.name for path in self.home.glob("*/instance.json"))

    def _own_home(self) -> None:
        """The folder of all services, ours alone to write: where it is below `/var/tmp`, others could have made it."""
        self.home.mkdir(parents=True, exist_ok=True, mode=0o711)
        if self.home.is_symlink() or self.home.stat().st_uid != os.getuid():
            raise EngineError(f"{self.home} belongs to somebody else", hint="remove it, or use another --name")

    def _began(self, instance: Instance) -> float | None:
        """When its leader began, as recorded; None when the record is lost and only the marker is known."""
        try:
            return float(json.loads((self.home / instance.service / "instance.json").read_text())["began"])
        except (OSError, ValueError, KeyError):
            return None

    def _stop_signal(self, instance: Instance) -> signal.Signals:
        try:
            raw = json.loads((self.home / instance.service / "launch.json").read_text())
            return signal.Signals[f"SIG{raw['stop_signal']}"]
        except (OSError, ValueError, KeyError):
            return signal.SIGTERM

    def _end(self, instance: Instance, grace: float) -> None:
        members = _session(int(instance.id), self._began(instance))
        if grace:
            _signal(members, self._stop_signal(instance))
            _wait_gone(members, grace)
        _signal(members, signal.SIGKILL)
        if not _wait_gone(members, FOUND):
            raise EngineError(f"{instance.name} (pid {instance.id}) does not end", hint=f"kill -9 {instance.id}")

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


def _spawn(folder: Path, launch: Launch) -> int:
    """Start it as the leader of a new session; its pid. What it was started with is kept for a restart."""
    write_private(folder / "launch.json", json.dumps(asdict(launch)))
    as_user: dict[str, Any] = {}
    if launch.account:
        as_user = {"user": launch.account.uid, "group": launch.account.gid, "extra_groups": []}
        os.chown(folder, launch.account.uid, launch.account.gid)
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            ["/bin/sh", "-c", _SHIM, "envkit", str(folder / "exit"), str(folder), *launch.argv],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env={"PATH": os.environ.get("PATH", os.defpath), **launch.env}, **as_user,
        )  # fmt: skip
    return process.pid


def _session(leader: int, began: float | None) -> list[int]:
    """Every process of that session; none when the number belongs to a stranger by now.

    Programs rewrite the memory that their variables are read from (Redis, PostgreSQL), so a member is known by its
    session alone: its number is not given away while one member lives.
    """
    import psutil

    if psutil.pid_exists(leader) and began is not None and abs(start_time(leader) - began) > CLOSE:
        return []
    found = []
    for pid in psutil.pids():
        with suppress(OSError):
            if os.getsid(pid) == leader:
                found.append(pid)
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
