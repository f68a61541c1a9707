"""Runs services as ordinary processes of the user, without an engine: each has a folder and a marker variable.

Each service runs in a separate session. A small shell leads the session. It waits until envkit has recorded the shell's
pid and set the memory limit, starts the program, and writes the program's exit code. The folder contains
`instance.json` (the record), `launch.json` (how to start it again), `log`, `exit` (the exit code), `root/` (the
service's files) and `data/` (its data, mode 0700). envkit finds a process by the folder, or by the marker if the folder
is lost. The start time in the record shows whether the kernel has given the pid to another process.

If envkit is root, a service can run as an unused uid. This uid owns `data/` and can read `root/`. Root owns everything
that envkit executes or reads back, in a folder that the service's uid cannot write.
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
"""Prepares a unit in its folder (finds the program, fills the data directory) and returns how to start it."""


def never(_unit: Unit, _folder: Path) -> Launch:
    """Raise `EngineError`. A runtime that must not start services, as in `down`, gets this function as `prepare`."""
    raise EngineError("this runtime cannot start services")


class Processes:
    """The runtime `processes`.

    It ends and changes only processes whose owner its claim accepts; for others these calls raise `HolderError`.
    """

    def __init__(self, home: Path, prepare: Prepare, claim: Claim) -> None:
        """Keep the folders of services in the folder `home`; call `prepare` before a unit's first start."""
        self.home = home
        self.claim = claim
        self.records = Records(home, claim)
        self._prepare = prepare
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    # Runtime

    def observe(self, environment: str) -> list[Instance]:
        """Return the environment's services, found by folder and, if the folder is lost, by marker.

        The result includes processes of other owners with the same environment name.
        """
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
        """Return whether the claim accepts the owner of the process, and the reason if not."""
        return self.claim.on(instance.owner, process=True)

    def _check(self, instance: Instance) -> None:
        self.claim.check(instance.owner, f"{instance.name} (process {instance.id})", process=True)

    def start(self, unit: Unit) -> Instance:
        """Start the service in its own session.

        Removes an earlier instance of the service first, and writes the record before the program starts. Raises
        `PortTaken` if another program listens on one of its ports. A failed start leaves nothing behind.
        """
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
                    hint="check whether the disk is full, or whether another user owns the folder",
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
        """Start the shell, write the record, set the memory limit; then let the shell start the program."""
        child = spawn(folder, launch)
        assert child.stdin is not None
        try:
            with child.stdin as go:
                instance = replace(instance, id=str(child.pid), started_at=datetime.now(UTC).isoformat())
                write_private(folder / RECORD, record_of(instance, child.pid))
                if instance.memory and (group := self.records.group_of(instance)):
                    limits.confine(group, child.pid, instance.memory)
                with suppress(BrokenPipeError):  # the shell was killed already: the next `look` reports this
                    go.write(b"\n")
        except BaseException:
            child.kill()
            child.wait()
            raise
        self._children[child.pid] = child
        return instance

    def look(self, instance: Instance) -> Instance:
        """Return the instance with its state now; the state is `dead` if the service has no record any more."""
        return self.records.read(instance.service) or replace(instance, state="dead")

    def logs(self, instance: Instance, tail: int | None = None) -> str:
        """Return the service's output so far, or the last `tail` lines of it."""
        try:
            text = (self.home / instance.service / "log").read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return text if tail is None else "".join(text.splitlines(keepends=True)[-tail:])

    def follow(self, instance: Instance, tail: int | None = None, place: Place | None = None) -> Iterator[str]:
        """Yield the last `tail` lines and each new line, until the service ends. The log continues after a restart."""
        path = self.home / instance.service / "log"
        return growing(path, lambda: self.look(instance).state in ("running", "paused"), tail, place)

    def remove(self, instance: Instance, grace: float = 0.0) -> None:
        """End all processes of the service, then remove its folder, its uid and its control group.

        The processes get the stop signal, `grace` seconds to end, and SIGKILL.
        """
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
        """Stop all processes of the service with SIGSTOP, the leader first, because `look` checks only the leader."""
        self._check(instance)
        send([int(instance.id)], signal.SIGSTOP)
        held: set[int] = set()
        while fresh := self._tree(instance) - held:  # processes that started in the meantime
            send(fresh, signal.SIGSTOP)
            held |= fresh

    def resume(self, instance: Instance) -> Instance:
        """Continue all processes of the service, the leader last: after an interruption `look` returns `paused`."""
        self._check(instance)
        leader = int(instance.id)
        send(self._tree(instance) - {leader}, signal.SIGCONT)
        send([leader], signal.SIGCONT)
        return replace(instance, state="running")

    def usage(self, instance: Instance) -> Usage:
        """Return the memory and the processor time of all processes of the service."""
        return of_processes(self._tree(instance))

    def _tree(self, instance: Instance) -> set[int]:
        return self._everything(instance, int(instance.id), self.records.began(instance))

    def _everything(self, instance: Instance, leader: int, began: float | None) -> set[int]:
        """Return the processes that `tree` returns, and all processes with the service's own uid."""
        found = tree(leader, began, environment_of(instance), instance.service, self.claim)
        return found | (accounts.processes_of(self.home / instance.service) if self.records.are_ours() else set())

    def strangers(self, instances: Sequence[Instance]) -> dict[str, Holder]:
        """Return for each service the other program that listens on one of its ports, if there is one."""
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
        """Run a command on this host with the service's variables, as its user; return the exit code and the output.

        Returns the exit code 127 if the command cannot be started or takes longer than 10 s.
        """
        if not self.look(instance).running:
            raise EngineError(f"{instance.name} is not running, so no command can run beside it")
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
        """Return the memory limit of the service's control group; None if there is no such group."""
        group = self.records.group_of(instance)
        return limits.confined(group) if group else None

    def restart(self, instance: Instance, grace: float) -> Instance:
        """Stop the service and start it with the same command, variables and data."""
        self._check(instance)
        folder = self.home / instance.service
        launch = launch_of(folder)
        self._end(instance, grace)
        (folder / "exit").unlink(missing_ok=True)
        again = replace(instance, state="running", exit_code=None, oom_killed=False)
        return self._begin(folder, again, launch)

    def rewrite(self, name: str, path: str, content: bytes) -> bool:
        """Replace the content of a file and keep its owner and mode; return whether the content changed.

        `name` is the name of the instance. Returns False if the instance or the file does not exist.
        """
        found = next((it for it in map(self.records.read, self.records.names()) if it and it.name == name), None)
        target = self.home / found.service / "root" / path.lstrip("/") if found else None
        if target is None or not target.exists() or target.read_bytes() == content:
            return False
        replace_file(target, content)
        return True

    def used_memory(self, instance: Instance) -> int:
        """Return the bytes of memory that the service's control group counts; 0 if there is no such group."""
        group = self.records.group_of(instance)
        return limits.used(group) if group else 0

    def log_file(self, instance: Instance) -> Path:
        """Return the file that contains the service's output."""
        return self.home / instance.service / "log"

    def is_stopped(self, instance: Instance) -> bool:
        """Return whether the leader or one of its children is stopped (SIGSTOP)."""
        import psutil

        with suppress(psutil.Error, ValueError):
            leader = psutil.Process(int(instance.id))
            return any(one.status() == psutil.STATUS_STOPPED for one in [leader, *leader.children()])
        return False

    def ports_beside(self, instance: Instance) -> Mapping[int, int]:
        """Return for each of the service's own ports the port of this host that a client on this host uses."""
        return instance.published

    def way_in(
        self, instance: Instance, client: Sequence[str], variables: Mapping[str, str], argv: Sequence[str],
        environ: Mapping[str, str], *, tty: bool,
    ) -> tuple[tuple[str, ...], dict[str, str]]:  # fmt: skip
        """Return a command for this host and the variables to set for it.

        The variables are the service's, without envkit's markers; PATH begins with the folder of the service's program.
        """
        from envkit.drivers.runtimes.entering import beside

        del tty  # the command uses this terminal
        return beside(launch_of(self.home / instance.service), instance, client, variables, argv, environ)

    def silence(self) -> str:
        """Return an empty string: there is no engine."""
        return ""

    def published(self) -> dict[int, Holder]:
        """Return an empty dict: there are no containers, and a process holds its port itself."""
        return {}

    # Private methods

    def _end(self, instance: Instance, grace: float, in_a_hurry: Collection[int] = ()) -> None:
        leader, began = int(instance.id), self.records.began(instance)
        stop, grace = stop_of(self.home / instance.service, grace)
        ended = end(leader, began, stop, grace, lambda: self._everything(instance, leader, began), in_a_hurry)
        if not ended:
            raise EngineError(f"{instance.name} (pid {leader}) does not end", hint=f"kill -9 {leader}")
        for pid, child in tuple(self._children.items()):
            if child.poll() is not None:  # `poll` reaps the child, which would remain a zombie
                self._children.pop(pid, None)


def _reason(error: OSError) -> str:
    """Return the reason for one file, because an error of `shutil.copytree` on a full disk lists every file."""
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):
        return str(error.args[0][0][-1])
    return f"{error.strerror or error} ({error.filename})" if error.filename else str(error.strerror or error)


def _lost(marked: Marked) -> Instance:
    """Return an instance for a process whose folder is lost. Its state is `other`, so envkit replaces or removes it."""
    name = labels.resource_name(marked.environment, marked.service)
    return Instance(str(marked.pid), name, marked.service, "other", fingerprint="", owner=marked.owner)
