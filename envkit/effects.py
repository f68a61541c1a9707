"""What each step of a plan does. `Effects` is handed to `apply.run`; it decides nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from envkit import labels, observe, probes, state
from envkit.config.shipped import migrations_folder
from envkit.config.models import PostgresProbe, Probe, Service
from envkit.config.units import show_size
from envkit.errors import EnvironmentFailed, ServiceDied
from envkit.facts import Facts, Instance
from envkit.plan import BOOTSTRAP, Action, Desired, Step, Subject, Want
from envkit.runtimes.base import Unit
from envkit.services import desired as wanted
from envkit.session import Session
from envkit.waiting import Cancel, until

Report = Callable[[str], None]

LOG_LINES = 20
"""Last lines of a service's log that go into the message about its death."""

_LIMIT_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where a container reads its own memory limit: cgroup v2, then v1."""


@dataclass
class Effects:
    """The doing of one `up`. `made` collects what this run brought into being, for the way back."""

    session: Session
    desired: Desired
    facts: Facts
    instances: dict[str, Instance] = field(default_factory=dict)
    made: dict[str, Instance] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    done: dict[str, str] = field(default_factory=dict)
    bootstrapped: bool = False
    made_cluster: bool = False
    made_network: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.instances.update(self.facts.instances)
        self.done.update(self.facts.done)

    def __call__(self, step: Step, report: Report, cancel: Cancel) -> str:
        """Carry out one step."""
        match step.subject:
            case Subject.NETWORK:
                return self._network()
            case Subject.IMAGE:
                return self._image(step, report, cancel)
            case Subject.CLUSTER:
                return self._cluster(step, report, cancel)
            case Subject.BOOTSTRAP:
                return self._bootstrap(report, cancel)
            case Subject.STRAY:
                return self._stray(step)
            case Subject.SERVICE:
                return self._service(step, report, cancel)

    # Network, images, cluster

    def _network(self) -> str:
        environment = self.session.environment
        self.made_network = True
        self.session.networks.create(environment.name, environment.root)
        return "created"

    def _image(self, step: Step, report: Report, cancel: Cancel) -> str:
        want = self.desired.services[step.name]
        if step.action is Action.BUILD:
            marks = {labels.SCHEMA: labels.SCHEMA_VERSION, labels.ROLE: "image"}
            image = self.session.images.build(self.session.recipes[step.name], marks, report, cancel)
        else:
            image = self.session.images.pull_first(want.candidates, want.service.platform, report, cancel)
        with self._lock:
            self.images[step.id] = image
        return f"{image} is here"

    def _cluster(self, step: Step, report: Report, cancel: Cancel) -> str:
        cluster, kind = self.session.environment.cluster, self.session.kind
        if step.action is Action.RESUME:
            kind.resume(report, cancel)
            return "resumed"
        if step.action is Action.REPLACE:
            report("deleting the old cluster")
            kind.delete()
        self.made_cluster = True
        kind.create(
            cluster,
            node_image=wanted.node_image(self.session.environment),
            port_offset=self.session.environment.port_offset,
            fingerprint=self.desired.cluster_fingerprint,
            report=report,
            cancel=cancel,
            work=lambda _kubeconfig: self._apply_bootstrap(self.session.stream.reporter(BOOTSTRAP), cancel),
        )
        return "API server, node and default ServiceAccount are ready"

    def _bootstrap(self, report: Report, cancel: Cancel) -> str:
        """Mostly done already: CRDs, namespaces and identities need no node, so a new cluster gets them on the way."""
        cluster = self.session.environment.cluster
        if not self.bootstrapped:
            self._apply_bootstrap(report, cancel)
        loaded = self.session.kind.load(cluster.images, report, cancel) if cluster.images else []
        said = f"{len(cluster.namespaces)} namespaces, {len(cluster.identities)} identities proved"
        return f"{said}, {len(loaded)} images loaded" if loaded else said

    def _apply_bootstrap(self, report: Report, cancel: Cancel) -> None:
        from envkit.clusters.bootstrap import bootstrap

        environment = self.session.environment
        bootstrap(environment.cluster, self.session.paths, environment.name, report, cancel)
        self.bootstrapped = True

    def _stray(self, step: Step) -> str:
        for stray in self.facts.strays:
            if stray.name == step.name:
                self.session.runtime.remove(stray)
        return "removed"

    # Services

    def _service(self, step: Step, report: Report, cancel: Cancel) -> str:
        want = self._with_image(step)
        if want.service.host_command is not None or want.service.migrations is not None:
            return self._on_host(want, report, cancel)
        old = self.facts.instances.get(step.name)
        if old is not None:
            report(f"removing the old one: {step.reason}")
            self.session.runtime.remove(old)
        instance = self._start(want, report)
        return self._ended(want, instance, report, cancel) if want.service.once else self._ready(want, instance, report, cancel)

    def _with_image(self, step: Step) -> Want:
        want = self.desired.services[step.name]
        for need in step.needs:
            if need in self.images:
                image = self.images[need]
                return wanted.with_image(want, image, self.session.images.id_of(image))
        return want

    def _start(self, want: Want, report: Report) -> Instance:
        environment = self.session.environment
        ports = {
            port.container: 0 if port.host == "auto" else int(port.host)
            for port in want.service.ports.values()
            if port.host is not None
        }
        report(f"starting {want.image}")
        unit = Unit(environment.name, environment.root, want.name, want.service, want.image, want.fingerprint, ports)
        instance = self.session.runtime.start(unit)
        with self._lock:
            self.instances[want.name] = self.made[want.name] = instance
        return instance

    def _ready(self, want: Want, instance: Instance, report: Report, cancel: Cancel) -> str:
        """Wait for the probe, racing it against death; then, for a new service, its first proof and its limit."""
        service = observe.probed(self.session, want.name, {want.name: instance})
        target = observe.target_of(self.session, service, instance)
        said = "runs"
        if service.probe:
            took = self._wait(want, instance, service, service.probe, target, report, cancel)
            said = f"ready after {took:.1f} s"
        if service.first_probe:
            report("proving it once, as a client would")
            self._wait(want, instance, service, service.first_probe, target, report, cancel)
        self._check_limit(want, instance)
        return said

    def _wait(
        self, want: Want, instance: Instance, service: Service, probe: Probe, target: probes.Target,
        report: Report, cancel: Cancel,
    ) -> float:  # fmt: skip
        def attempt() -> str | None:
            seen = probes.attempt(probe, target)
            if seen is not None:
                self._alive(instance)
            return seen

        expected = probes.describe(probe, target)
        try:
            return until(
                attempt,
                what=f"{want.name} should give {expected}",
                seconds=service.timeout,
                cancel=cancel,
                progress=lambda seen: report(f"waiting: {seen}"),
                hint=f"see its log (`logs {want.name}` with --keep); the deadline is services.{want.name}.timeout",
            )
        except EnvironmentFailed as error:
            error.detail = error.detail or self._tail(instance)
            raise

    def _alive(self, instance: Instance) -> None:
        """Raise `ServiceDied`, with the exit code and the last log lines, when it does not run any more."""
        now = self.session.runtime.look(instance)
        if now.running or now.state == "created":
            return
        hint = "give it more memory (services.{}.memory)".format(instance.service) if now.oom_killed else ""
        raise ServiceDied(
            f"{instance.service} {now.death()} while envkit waited for it",
            hint=hint or "the reason is usually in its last log lines",
            detail=self._tail(instance),
        )

    def _ended(self, want: Want, instance: Instance, report: Report, cancel: Cancel) -> str:
        """Wait for a one-shot's end; 0 is success."""
        now = instance

        def attempt() -> str | None:
            nonlocal now
            now = self.session.runtime.look(instance)
            return None if now.state in ("exited", "dead") else f"it {now.state}"

        took = until(attempt, what=f"{want.name} to end", seconds=want.service.timeout, cancel=cancel, slowest=0.1)
        if now.exit_code != 0 or now.state == "dead":
            raise ServiceDied(f"{want.name} {now.death()}", hint="see its log below", detail=self._tail(instance))
        with self._lock:
            self.instances[want.name] = now
        return f"ended with 0 after {took:.1f} s"

    def _check_limit(self, want: Want, instance: Instance) -> None:
        """The limit as the container's own kernel tells it; an engine may accept one and ignore it."""
        memory = want.service.memory
        if not memory:
            return
        for path in _LIMIT_FILES:
            code, output = self.session.runtime.execute(instance, ["cat", path])
            if code != 0:
                continue
            if output.strip() != str(memory):
                raise EnvironmentFailed(
                    f"{want.name} should have a memory limit of {show_size(memory)}; its cgroup says {output.strip()}",
                    hint="does this engine have the memory controller? (rootless engines need cgroup delegation)",
                )
            return

    def _tail(self, instance: Instance) -> str:
        try:
            lines = self.session.runtime.logs(instance, tail=LOG_LINES).rstrip()
        except EnvironmentFailed as error:
            return f"(its log cannot be read: {error.message})"
        return f"last lines of {instance.service}:\n{lines}" if lines else f"({instance.service} wrote no log)"

    # One-shots of the host

    def _on_host(self, want: Want, report: Report, cancel: Cancel) -> str:
        said = self._migrate(want, report) if want.service.migrations else self._command(want, report, cancel)
        with self._lock:
            self.done[want.name] = want.fingerprint
        return said

    def _migrate(self, want: Want, report: Report) -> str:
        from envkit.services.migrations import migrate

        migrations = want.service.migrations
        assert migrations is not None
        instance = self.instances[migrations.service]
        database = observe.probed(self.session, migrations.service, {migrations.service: instance})
        assert isinstance(database.probe, PostgresProbe)
        target = observe.target_of(self.session, database, instance)
        folder = migrations_folder(migrations.folder)
        port = target.port(database.probe.port)
        applied = migrate(folder, database.probe, target.host, port, want.service.timeout, report)
        return f"{len(applied)} migrations applied" if applied else "nothing to apply"

    def _command(self, want: Want, report: Report, cancel: Cancel) -> str:
        from envkit.commands import CommandFailed, run

        service = wanted.outside(
            self.session.environment, want.name, self.session.paths, observe.chosen_ports(self.session, self.instances)
        )
        argv = service.host_command or ()
        began = time.monotonic()
        log = self.session.paths.folder / "logs" / f"{want.name}.log"
        try:
            finished = run(
                argv, seconds=service.timeout, cancel=cancel, cwd=self.session.environment.root,
                env={**self.session.environ, **service.env},
                marker={labels.MARKER: self.session.environment.name}, on_line=report,
            )  # fmt: skip
        except CommandFailed as error:
            _save(log, error.output)
            raise ServiceDied(f"{want.name}: {error.message}", detail=error.output[-3000:], hint=f"its whole output: {log}") from error
        _save(log, finished.output)
        return f"ended with 0 after {time.monotonic() - began:.1f} s"


def _save(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_text(text)


def record_of(session: Session, effects: Effects, variables: dict[str, str]) -> state.Record:
    """What `env` and the next `up` want to know."""
    environment = session.environment
    ports = observe.chosen_ports(session, effects.instances)
    tokens = tuple(
        state.Renewal(
            name, identity.namespace, identity.account or name, identity.token.seconds,
            identity.token.audiences, identity.token.variable or "",
        )
        for name, identity in environment.cluster.identities.items()
        if identity.token
    )  # fmt: skip
    return state.Record(
        name=environment.name, root=environment.root, files=environment.files, engine=session.endpoint.engine,
        engine_url=session.endpoint.url, lane=session.lane, variables=variables, ports=ports, done=effects.done, tokens=tokens,
    )  # fmt: skip
