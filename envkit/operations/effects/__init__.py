"""Carry out the steps of a plan. `planning.apply.run` calls `Effects` for each step; `Effects` makes no decisions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from envkit.base import labels
from envkit.base.abilities import able
from envkit.base.control import Control
from envkit.base.errors import EnvironmentFailed, ImageUnavailable
from envkit.base.paths import Paths
from envkit.base.waiting import Cancel
from envkit.config.models import Environment
from envkit.drivers.clusters.base import MadeOfServices, RunsPods, kind_of
from envkit.drivers.runtimes.base import Unit
from envkit.drivers.supply.ensure import ensure_image
from envkit.inventory import observe
from envkit.inventory.drivers import Drivers
from envkit.inventory.probing import Prober
from envkit.operations.effects import preparing
from envkit.operations.effects.engine_stopped import explained
from envkit.operations.effects.proof import Proof
from envkit.operations.record import Provenance
from envkit.planning import desired as wanted
from envkit.planning.facts import Facts, Instance
from envkit.planning.plan import BOOTSTRAP, Action, Desired, Plan, Step, Subject, Want

Report = Callable[[str], None]

RESUMED = 30.0
"""Longest time in seconds until a resumed cluster must work again. It usually takes less than one second."""


@dataclass
class Effects:
    """Carries out the steps of one `up`. A rollback removes the services in `made`, which this run started."""

    environment: Environment
    paths: Paths
    drivers: Drivers
    control: Control
    provenance: Provenance
    desired: Desired
    facts: Facts
    steps: Plan
    wants: dict[str, Want] = field(default_factory=dict)
    """The inputs of each service. When an image is pulled or built for a service, its inputs get this image."""
    instances: dict[str, Instance] = field(default_factory=dict)
    made: dict[str, Instance] = field(default_factory=dict)
    images: dict[str, tuple[str, str]] = field(default_factory=dict)
    done: dict[str, str] = field(default_factory=dict)
    bootstrapped: bool = False
    made_cluster: bool = False
    made_network: bool = False
    started: bool = False
    """Whether this run called the runtime to start a service. A signal can end the step before `made` contains it."""
    resumed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.wants.update(self.desired.services)
        self.instances.update(self.facts.instances)
        self.done.update(self.facts.done)

    @property
    def prober(self) -> Prober:
        """A `Prober`, which checks whether the services work."""
        return self.drivers.prober(self.control.cancel)

    def __call__(self, step: Step, report: Report, cancel: Cancel) -> str:
        """Carry out one step; return a text about the result. Raises `EngineStopped` if the engine does not answer."""
        try:
            return self._do(step, report, cancel)
        except EnvironmentFailed as error:
            why = explained(self.drivers, step.id, error)
            if why is error:
                raise
            raise why from error

    def _do(self, step: Step, report: Report, cancel: Cancel) -> str:
        match step.subject:
            case Subject.NETWORK:
                return self._network()
            case Subject.IMAGE:
                return self._image(step, report, cancel)
            case Subject.CLUSTER:
                return self._cluster(step, report, cancel)
            case Subject.BOOTSTRAP:
                return self._bootstrap(report, cancel)
            case Subject.PREPARE:
                return preparing.prepare(
                    self.environment, self.paths, self.drivers, self.steps, self.facts, self._with_image, report, cancel
                )
            case Subject.STRAY:
                return self._stray(step)
            case Subject.SERVICE:
                return self._service(step, report, cancel)

    # Network, images, cluster

    def _network(self) -> str:
        environment = self.environment
        self.made_network = True
        marks = {labels.EXPIRES: str(int(self.provenance.expires))} if self.provenance.expires else {}
        marks |= {labels.JOB: self.provenance.job} if self.provenance.job else {}
        self.drivers.networks.create(environment.name, self.drivers.claim.owner, **marks)
        return "created"

    def _image(self, step: Step, report: Report, cancel: Cancel) -> str:
        want = self.desired.services[step.name]
        try:
            rebuild = step.action is Action.BUILD
            image, how = ensure_image(self.drivers.supply, self.drivers.recipes, want, report, cancel, rebuild=rebuild)
        except ImageUnavailable as error:
            error.message += "".join(f"\n  - {reason}" for reason in want.service.skipped)
            raise
        with self._lock:
            self.images[step.id] = image, how
        return f"{image} is here ({how})"

    def _cluster(self, step: Step, report: Report, cancel: Cancel) -> str:
        wanted, cluster = self.environment.cluster, self.drivers.cluster
        if step.action is Action.RESUME:
            cluster.resume(report, cancel)
            self.resumed = True
            return "resumed"
        if step.action is Action.REPLACE:
            report("deleting the old cluster")
            cluster.delete()
        self.made_cluster = True
        from envkit.drivers.clusters.apply import preload

        preload()
        cluster.create(
            wanted,
            fingerprint=self.desired.cluster_fingerprint,
            report=report,
            cancel=cancel,
            work=lambda _kubeconfig: self._apply_bootstrap(self.control.stream.reporter(BOOTSTRAP), cancel),
        )
        return "API server, node and default ServiceAccount are ready"

    def _bootstrap(self, report: Report, cancel: Cancel) -> str:
        """Apply the bootstrap unless this run has done so, load the images, and return a text about the result.

        A new cluster gets CRDs, namespaces and identities during its creation, because they need no node. A cluster
        that was paused and still has everything is left as it is.
        """
        cluster = self.environment.cluster
        if self.resumed and not observe.cluster_lacks(
            self.environment, self.paths, self.drivers, self.control.cancel, self.facts.cluster, patience=RESUMED
        ):
            return "unchanged since the pause"
        if not self.bootstrapped:
            self._apply_bootstrap(report, cancel)
        loaded = self._load(cluster.images, report, cancel) if cluster.images else []
        spaces, identities = len(cluster.namespaces), len(cluster.identities)
        said = f"namespaces: {spaces}, identities proved: {identities}"
        return f"{said}, {len(loaded)} images loaded" if loaded else said

    def _load(self, images: Sequence[str], report: Report, cancel: Cancel) -> list[str]:
        """Copy local images into the nodes; return the names of the images that at least one node did not have."""
        if (nodes := able(self.drivers.cluster, RunsPods)) is None:
            report(f"{len(images)} images are not needed: this cluster has no nodes")
            return []
        return [image for image, (_, lacked) in nodes.bring_in(images, report, cancel).items() if lacked]

    def _apply_bootstrap(self, report: Report, cancel: Cancel) -> None:
        from envkit.drivers.clusters.bootstrap import bootstrap

        environment = self.environment
        bootstrap(environment.cluster, self.paths, environment.name, report, cancel)
        self.bootstrapped = True

    def _stray(self, step: Step) -> str:
        for stray in self.facts.strays:
            if stray.name == step.name:
                self.drivers.runtime.remove(stray)
        return "removed"

    # Services

    def _service(self, step: Step, report: Report, cancel: Cancel) -> str:
        want = self._with_image(step)
        if want.service.host_command is not None or want.service.migrations is not None:
            return self._on_host(want, report, cancel)
        old = self.facts.instances.get(step.name)
        if old is not None and step.action is Action.RESUME:
            return self._resume(old, report, cancel)
        if old is not None:
            report(f"removing the old one: {step.reason}")
            self.drivers.runtime.remove(old)
        if want.service.part_of_cluster:
            if program := self.drivers.lacking(want.name):
                without = (kind_of(self.environment.cluster.type).without or {}).get(want.name, "")
                self.control.stream.note(f"{program} cannot be had here: {without}")
                return f"left out: there is no {program}"
            if cluster := able(self.drivers.cluster, MadeOfServices):
                cluster.before(want.name, cancel)
        proof = Proof(self.prober, self._start(want, report), report, cancel)
        if not want.service.once:
            return f"{proof.ready()}; {want.image} {want.why}" if want.why else proof.ready()
        instance, said = proof.ended(want.service.timeout)
        with self._lock:
            self.instances[want.name] = instance
        return said

    def _resume(self, old: Instance, report: Report, cancel: Cancel) -> str:
        """Resume a paused service and wait until its probe passes. The first probe is not run again."""
        instance = self.drivers.runtime.resume(old)
        with self._lock:
            self.instances[old.service] = instance
        return "resumed, " + Proof(self.prober, instance, report, cancel).answers()

    def _on_host(self, want: Want, report: Report, cancel: Cancel) -> str:
        from envkit.operations.effects import on_host

        if want.service.migrations:
            said = on_host.migrations(self.prober, want, self.instances, report, cancel)
        else:
            said = on_host.command(
                self.environment,
                self.paths,
                self.drivers,
                self.drivers.caller.environ,
                want,
                self.instances,
                report,
                cancel,
            )
        with self._lock:
            self.done[want.name] = want.fingerprint
        return said

    def _with_image(self, step: Step) -> Want:
        want = self.desired.services[step.name]
        for need in step.needs:
            if need in self.images:
                image, how = self.images[need]
                want = wanted.with_image(want, image, self.drivers.supply.id_of(image), how)
                with self._lock:
                    self.wants[want.name] = want
        return want

    def _start(self, want: Want, report: Report) -> Instance:
        environment = self.environment
        ports = {
            port.container: 0 if port.host == "auto" else int(port.host)
            for port in want.service.ports.values()
            if port.host is not None
        }
        report(f"starting {want.image}")
        service = wanted.resolve_to_start(environment, want.name, self.paths, self.drivers.this_host)
        unit = Unit(
            environment.name,
            self.drivers.claim.owner,
            want.name,
            service,
            want.image,
            want.fingerprint,
            ports,
            self._hosts(),
        )
        self.started = True
        instance: Instance = self.drivers.runtime.start(unit)
        with self._lock:
            self.instances[want.name] = self.made[want.name] = instance
        return instance

    def _hosts(self) -> dict[str, str]:
        """Return this host's usual name with its IP address, or nothing if the engine itself resolves the name."""
        from envkit.drivers.runtimes.this_host import ALIAS

        address = self.drivers.this_host().address
        return {ALIAS: address} if address[:1].isdecimal() else {}
