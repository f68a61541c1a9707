"""Services as plain processes of the user's own: no engine, nothing but a folder and a marker in the environment.

Each runs in a session of its own, under a small shell that leads it: it waits until it is recorded and limited, and
outlives the program to write down its exit code. Its folder holds `instance.json` (who it is), `log`, `exit`, `root/`
(its files) and `data/` (its data, mode 0700). A process is found by its folder or, when that is lost, by the marker;
its start time guards against a pid that was given away again.

Where envkit is root, a service may have a user of its own. That user owns `data/` and reads `root/`. Everything that
envkit executes or reads back is root's, in a folder that the user cannot write.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from envkit.base import labels
from envkit.base.errors import EngineError
from envkit.base.owner import Claim, Verdict
from envkit.base.paths import replace_file, write_private
from envkit.base.ports import Holder, holders, port_taken, process_on
from envkit.drivers import accounts
from envkit.drivers.runtimes import limits, listeners, shared_memory
from envkit.drivers.runtimes.base import Unit
from envkit.drivers.runtimes.ending import end, send, stop_of
from envkit.drivers.runtimes.following import Place, growing
from envkit.drivers.runtimes.marked import Marked, marked_processes, sessions, tree
from envkit.drivers.runtimes.process_records import RECORD, Records, environment_of, record_of
from envkit.drivers.runtimes.spawning import Launch, as_user, environ_of, launch_of, spawn
from envkit.drivers.runtimes.usage import Usage, of_processes
from envkit.planning.facts import Instance

Prepare = Callable[[Unit, Path], Launch]
"""Makes a unit ready in its folder (finds the program, fills the data directory)."""


def never(_unit: Unit, _folder: Path) -> Launch:
    """For a runtime that starts nothing: `down`."""
    raise EngineError("this runtime starts nothing")


class Processes:
    """The runtime `processes`. It ends and changes what its claim covers; for the rest it raises `HolderError`."""

    def __init__(self, home: Path, prepare: Prepare, claim: Claim) -> None:
        """`home` is the folder of the environment's services; `prepare` finds a unit's program and fills its data."""
        self.home = home
        self.claim = claim
        self.records = Records(home, claim)
        self._prepare = prepare
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    # Runtime

    def observe(self, environment: str) -> list[Instance]:
        """By folder, and by marker what has lost its folder; what others made under the same name is among it."""
        read = (self.records.read(name) for name in self.records.names())
        found = [it for it in read if it and it.name == labels.resource_name(environment, it.service)]
        known = {it.id for it in found} | {it.service for it in found if self.whose(it).ours}
        for marked in marked_processes(environment):
            new = marked.leader and marked.service and str(marked.pid) not in known
            stranger = new and not self.claim.on(marked.owner, process=True).ours
            if stranger or (new and marked.service not in known):
                found.append(_lost(marked))
                known |= {str(marked.pid), marked.service}
        return found

    def whose(self, instance: Instance) -> Verdict:
        """Whose the process is, by its record or by its variables."""
        return self.claim.on(instance.owner, process=True)

    def _check(self, instance: Instance) -> None:
        self.claim.check(instance.owner, f"{instance.name} (process {instance.id})", process=True)

    def start(self, unit: Unit) -> Instance:
        """Start it in its own session; recorded before the program begins. What is left of an earlier one goes."""
        if os.path.lexists(self.home):
            self.records.make_home()
        if (old := self.records.read(unit.name)) is not None:
            self.remove(old)
        taken = holders([port for port in unit.host_ports.values() if port], {})
        if taken:
            raise port_taken({holder.port: unit.name for holder in taken}, taken)
        folder = self.home / unit.name
        try:
            self.records.make_home()
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
            return self._started(unit, folder)
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            accounts.give_back(folder)
            if isinstance(error, OSError):
                raise EngineError(
                    f"{unit.name} cannot be started: {_reason(error)}",
                    hint="is the disk full, or the folder somebody else's?",
                ) from error
            raise

    def _started(self, unit: Unit, folder: Path) -> Instance:
        launch = self._prepare(unit, folder)
        instance = Instance(
            id="",
            name=labels.resource_name(unit.environment, unit.name),
            service=unit.name,
            state="running",
            fingerprint=unit.fingerprint,
            image=unit.image,
            image_id=launch.identity,
            owner=unit.owner,
            published=dict(unit.host_ports),
            memory=unit.service.memory or 0,
        )
        return self._begin(folder, instance, launch)

    def _begin(self, folder: Path, instance: Instance, launch: Launch) -> Instance:
        """Spawn it, record it, put it under its limit; only then the program begins."""
        child = spawn(folder, launch)
        assert child.stdin is not None
        try:
            with child.stdin as go:
                instance = replace(instance, id=str(child.pid), started_at=datetime.now(UTC).isoformat())
                write_private(folder / RECORD, record_of(instance, child.pid))
                if instance.memory and (group := self.records.group_of(instance)):
                    limits.confine(group, child.pid, instance.memory)
                with suppress(BrokenPipeError):  # killed already: the next look tells
                    go.write(b"\n")
        except BaseException:
            child.kill()
            child.wait()
            raise
        self._children[child.pid] = child
        return instance

    def look(self, instance: Instance) -> Instance:
        """The process now; `dead` when nothing is known of it any more."""
        return self.records.read(instance.service) or replace(instance, state="dead")

    def logs(self, instance: Instance, tail: int | None = None) -> str:
        """What it wrote."""
        try:
            text = (self.home / instance.service / "log").read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return text if tail is None else "".join(text.splitlines(keepends=True)[-tail:])

    def follow(self, instance: Instance, tail: int | None = None, place: Place | None = None) -> Iterator[str]:
        """Its last `tail` lines and what follows, until it ends; a log goes on where it was after a restart."""
        path = self.home / instance.service / "log"
        return growing(path, lambda: self.look(instance).state in ("running", "paused"), tail, place)

    def remove(self, instance: Instance, grace: float = 0.0) -> None:
        """End the whole tree: its stop signal, `grace` seconds, SIGKILL; then its folder and what else is its own."""
        self._check(instance)
        folder = self.home / instance.service
        self._end(instance, grace, in_a_hurry=shared_memory.owner(folder / "data"))
        if self.records.are_ours():
            shared_memory.forget(folder / "data")
            shutil.rmtree(folder, ignore_errors=True)
            accounts.give_back(folder)
        if group := self.records.group_of(instance):
            limits.remove(group)

    def pause(self, instance: Instance) -> None:
        """Stop the whole tree, its leader first: that is what `look` goes by."""
        self._check(instance)
        send([int(instance.id)], signal.SIGSTOP)
        held: set[int] = set()
        while fresh := self._tree(instance) - held:  # what was begun meanwhile
            send(fresh, signal.SIGSTOP)
            held |= fresh

    def resume(self, instance: Instance) -> Instance:
        """Let the tree go on, its leader last: cut short, it is still known as paused."""
        self._check(instance)
        leader = int(instance.id)
        send(self._tree(instance) - {leader}, signal.SIGCONT)
        send([leader], signal.SIGCONT)
        return replace(instance, state="running")

    def usage(self, instance: Instance) -> Usage:
        """Of the whole tree."""
        return of_processes(self._tree(instance))

    def _tree(self, instance: Instance) -> set[int]:
        return self._everything(instance, int(instance.id), self.records.began(instance))

    def _everything(self, instance: Instance, leader: int, began: float | None) -> set[int]:
        """What `tree` finds, and what runs as the service's own user, wherever it went."""
        found = tree(leader, began, environment_of(instance), instance.service, self.claim)
        return found | (accounts.processes_of(self.home / instance.service) if self.records.are_ours() else set())

    def strangers(self, instances: Sequence[Instance]) -> dict[str, Holder]:
        """Who else listens on a port of a service, by the service's name; on its first such port."""
        once = cache(sessions)
        users = {it.service: account.uid for it in instances if (account := self._account(it))}

        def members(instance: Instance, thorough: bool) -> Collection[int]:
            return self._tree(instance) if thorough else once().get(int(instance.id), set())

        return {name: process_on(port) for name, port in listeners.strangers(instances, users, members).items()}

    def _account(self, instance: Instance) -> accounts.Account | None:
        try:
            return launch_of(self.home / instance.service).account if os.getuid() == 0 else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def execute(self, instance: Instance, argv: Sequence[str]) -> tuple[int, str]:
        """Run a command beside it, with its variables and as its user: exit code and output."""
        if not self.look(instance).running:
            raise EngineError(f"{instance.name} does not run: no command can be run beside it")
        folder = self.home / instance.service
        launch = launch_of(folder)
        try:
            done = subprocess.run(
                list(argv), capture_output=True, timeout=10, env=environ_of(launch), cwd=folder, check=False,
                **as_user(launch.account),
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            return 127, str(error)
        return done.returncode, (done.stdout + done.stderr).decode(errors="replace")

    def limit_of(self, instance: Instance) -> str | None:
        """The limit of its control group; None where this user may make none."""
        group = self.records.group_of(instance)
        return limits.confined(group) if group else None

    def restart(self, instance: Instance, grace: float) -> Instance:
        """Stop and start with the same words, variables and data."""
        self._check(instance)
        folder = self.home / instance.service
        launch = launch_of(folder)
        self._end(instance, grace)
        (folder / "exit").unlink(missing_ok=True)
        again = replace(instance, state="running", exit_code=None, oom_killed=False)
        return self._begin(folder, again, launch)

    def rewrite(self, name: str, path: str, content: bytes) -> bool:
        """Replace a file's content in place, owner and mode kept; whether it changed. `name` is the instance's."""
        found = next((it for it in map(self.records.read, self.records.names()) if it and it.name == name), None)
        target = self.home / found.service / "root" / path.lstrip("/") if found else None
        if target is None or not target.exists() or target.read_bytes() == content:
            return False
        replace_file(target, content)
        return True

    def used_memory(self, instance: Instance) -> int:
        """See `base.FullRuntime`."""
        group = self.records.group_of(instance)
        return limits.used(group) if group else 0

    def log_file(self, instance: Instance) -> Path:
        """See `base.WritesLogFiles`."""
        return self.home / instance.service / "log"

    def is_stopped(self, instance: Instance) -> bool:
        """See `base.WritesLogFiles`."""
        import psutil

        with suppress(psutil.Error, ValueError):
            leader = psutil.Process(int(instance.id))
            return any(one.status() == psutil.STATUS_STOPPED for one in [leader, *leader.children()])
        return False

    def ports_beside(self, instance: Instance) -> Mapping[int, int]:
        """See `base.FullRuntime`."""
        return instance.published

    def way_in(
        self, instance: Instance, client: Sequence[str], variables: Mapping[str, str], argv: Sequence[str],
        environ: Mapping[str, str], *, tty: bool,
    ) -> tuple[tuple[str, ...], dict[str, str]]:  # fmt: skip
        """Beside the process, on this host: its program first on PATH, its variables set, envkit's marker not."""
        from envkit.drivers.runtimes.entering import beside

        del tty  # the terminal is this one
        return beside(launch_of(self.home / instance.service), instance, client, variables, argv, environ)

    def silence(self) -> str:
        """Empty: there is no engine that could fall silent."""
        return ""

    def published(self) -> dict[int, Holder]:
        """Ports that containers hold: none; a process holds its port itself."""
        return {}

    # Inside

    def _end(self, instance: Instance, grace: float, in_a_hurry: Collection[int] = ()) -> None:
        leader, began = int(instance.id), self.records.began(instance)
        stop, grace = stop_of(self.home / instance.service, grace)
        ended = end(leader, began, stop, grace, lambda: self._everything(instance, leader, began), in_a_hurry)
        if not ended:
            raise EngineError(f"{instance.name} (pid {leader}) does not end", hint=f"kill -9 {leader}")
        for pid, child in tuple(self._children.items()):
            if child.poll() is not None:  # nobody else would ask: it would stay as a zombie
                self._children.pop(pid, None)


def _reason(error: OSError) -> str:
    """One file is enough: where a tree is copied to a full disk, every one of a thousand is told."""
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):
        return str(error.args[0][0][-1])
    return f"{error.strerror or error} ({error.filename})" if error.filename else str(error.strerror or error)


def _lost(marked: Marked) -> Instance:
    """A process whose folder is gone: found, but not to be kept."""
    name = labels.resource_name(marked.environment, marked.service)
    return Instance(str(marked.pid), name, marked.service, "other", fingerprint="", owner=marked.owner)
