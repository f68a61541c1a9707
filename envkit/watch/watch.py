"""Runs all checks of an environment while a command runs, each at its own interval and independent of the others."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from envkit.base.abilities import able
from envkit.base.errors import EnvkitError
from envkit.config.models import Service
from envkit.drivers.runtimes.base import SendsPieces, WritesLogFiles
from envkit.drivers.runtimes.following import Place
from envkit.drivers.stores import NoAnswer, Values, store_of
from envkit.inventory.probing import Prober
from envkit.planning.facts import Instance
from envkit.watch import detectors, samplers
from envkit.watch.folder import RunFolder
from envkit.watch.logs import Bounded, Pump, Tail
from envkit.watch.presence import Presence
from envkit.watch.timeline import Happening, ProbeSeen, Sample, Writer, now

if TYPE_CHECKING:
    from envkit.drivers.clusters.api import Api

PRESENCE, LOGS, NUMBERS, PROBES, COSTLY = 0.4, 0.5, 1.5, 3.0, 10.0
"""Seconds between two checks of the same kind: services; logs; numbers of stores and the API server; probes, disks,
memory and tokens; costly checks."""

LOOK_SECONDS = 2.5
"""Longest time in seconds for a last check of everything."""

ONCE = 5.0
"""Number of seconds after a report of a restart or an error. In this time the same restart is not reported again."""

Say = Callable[[Happening], None]


@dataclass
class Every:
    """A check that is repeated. It never runs twice at the same time."""

    name: str
    seconds: float
    look: Callable[[], None]
    next_at: float = 0.0
    future: Future[None] | None = None

    def due(self, at: float) -> bool:
        """Return whether it is time for the next check and the last one has ended."""
        return at >= self.next_at and (self.future is None or self.future.done())


@dataclass
class Watch:
    """The checks of one environment that is up."""

    prober: Prober
    folder: RunFolder
    instances: Mapping[str, Instance]
    say: Say
    renew: Callable[[], None] = lambda: None
    looks: list[Every] = field(default_factory=list)
    _restarted: dict[str, float] = field(default_factory=dict)
    _tails: dict[str, Tail] = field(default_factory=dict)
    _sinks: dict[str, Bounded] = field(default_factory=dict)
    _levels: dict[str, detectors.Level] = field(default_factory=dict)
    _followed: set[tuple[str, str]] = field(default_factory=set)
    _places: dict[str, Place] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="watch")
        self._samples = Writer(self.folder.samples)
        self._probes = Writer(self.folder.probes)
        watched = {name: it for name, it in self.instances.items() if self._lasting(name)}
        self._presence = Presence(self.prober.runtime, self.prober.environment.name, watched)
        self._disk = detectors.DiskSigns()
        self.looks += [
            Every("presence", PRESENCE, self._look_presence),
            Every("logs", LOGS, self.copy_logs),
            Every("disk", PROBES, self._look_disk),
            Every("memory", PROBES, self._look_memory),
            Every("tokens", PROBES, self.renew, next_at=time.monotonic() + PROBES),
        ]
        for name in watched:
            self._add_service(name)
        if self.prober.environment.cluster.wanted and self.prober.paths.kubeconfig.exists():
            self._add_cluster()

    def _lasting(self, name: str) -> bool:
        service = self.prober.environment.services.get(name)
        return service is not None and not service.once

    def _add_service(self, name: str) -> None:
        service = self.prober.resolved(name, {name: self.instances[name]})
        health = detectors.Health(name)
        if service.probe:
            pace = COSTLY if service.probe.costly else PROBES
            self.looks.append(Every(f"probe {name}", pace, lambda: self._look_health(name, health)))
        if service.probe and (store := store_of(service.probe)):
            sampler = store.sampler(service.probe, lambda: self._place(name))
            self._stack.callback(sampler.close)
            self._numbers(name, sampler, detectors.of_store(service.probe.type, name).saw, store.pace)

    def _add_cluster(self) -> None:
        from envkit.drivers.clusters.api import Api

        api, judge = Api.of(self.prober.paths.kubeconfig), detectors.ApiSigns()
        self._numbers("cluster", lambda: samplers.rejected(api), judge.saw, COSTLY)
        self.looks.append(Every("readyz", NUMBERS, lambda: self._look_api(api, judge)))

    def _numbers(
        self, name: str, ask: samplers.Ask, judge: Callable[[float, Values], Iterable[Happening]], pace: float
    ) -> None:
        def look() -> None:
            try:
                values = ask()
            except (NoAnswer, KeyError):
                self._hurry(f"probe {name}", 0.0)  # the probe reports the reason
                return
            self._sampled(name, values)
            self._tell(judge(now(), values))

        self.looks.append(Every(f"numbers {name}", pace, look))

    # The checks

    def _look_presence(self, deep: bool = False) -> None:
        try:
            self._tell(self._presence(deep))
        except EnvkitError as error:
            self._tell([Happening(now(), "error", "", error.message, {"class": type(error).__name__})], "engine")

    def _look_health(self, name: str, health: detectors.Health) -> None:
        instance = self._presence.known[name]
        if not instance.running:
            health.dead()
            self._probes(ProbeSeen(now(), name, ok=False, seen=instance.death()))
            return
        seen = self._attempt(self.prober.resolved(name, {name: instance}), instance)
        self._probes(ProbeSeen(now(), name, seen is None, seen or ""))
        self._tell(health.saw(now(), seen))
        if health.failures and not health.said:  # check again soon: one failure is not reported
            self._hurry(f"probe {name}", PRESENCE)

    def _attempt(self, service: Service, instance: Instance) -> str | None:
        assert service.probe is not None
        try:
            return service.probe.attempt(self.prober.target(service, instance))
        except KeyError:
            return "it no longer publishes a port"
        except EnvkitError as error:
            return error.message

    def _look_api(self, api: Api, judge: detectors.ApiSigns) -> None:
        try:
            values = samplers.apiserver(api)
        except NoAnswer as error:
            self._probes(ProbeSeen(now(), "cluster", ok=False, seen=str(error)))
            self._tell(judge.silent(now(), str(error)))
            self._hurry("readyz", PRESENCE)
            return
        self._probes(ProbeSeen(now(), "cluster", ok=True))
        self._sampled("cluster", values)
        self._tell(judge.saw(now(), values))

    def _look_disk(self) -> None:
        homes = {str(self.prober.paths.home), str(self.prober.paths.services.parent), tempfile.gettempdir(), "/"}
        disks = {Path(path).stat().st_dev: path for path in sorted(homes, reverse=True) if Path(path).exists()}
        for path in disks.values():
            self._tell(self._disk.saw(now(), path, shutil.disk_usage(path).free))

    def _look_memory(self) -> None:
        for name, instance in self._presence.known.items():
            if instance.memory and instance.running and (used := self._used(instance)):
                self._sampled(name, {"memory": float(used), "memory_limit": float(instance.memory)})
                level = self._levels.setdefault(name, detectors.Level(name, "memory of the whole service"))
                self._tell(level.saw(now(), used, instance.memory))

    def _used(self, instance: Instance) -> int:
        return self.prober.runtime.used_memory(instance)

    def copy_logs(self) -> None:
        """Copy what services have logged since the last call, also in new containers."""
        for name, instance in (*self.instances.items(), *self._presence.known.items()):
            if name not in self._sinks:
                self._sinks[name] = Bounded(self.folder.logs / f"{name}.log")
            if files := able(self.prober.runtime, WritesLogFiles):
                self._tails.setdefault(name, Tail(files.log_file(instance), self._sinks[name]))()
            else:
                self._follow(name, instance)

    def _follow(self, name: str, instance: Instance) -> None:
        """Follow each start of a container once; a new stream continues where the one before ended."""
        life = (instance.id, instance.started_at)
        runtime = able(self.prober.runtime, SendsPieces)
        if runtime and instance.running and life not in self._followed:
            self._followed.add(life)
            place = self._places.setdefault(instance.id, Place())
            Pump(name, lambda: (stamp + text for stamp, text in runtime.pieces(instance, place)), self._sinks[name])

    # Helpers

    def _place(self, name: str) -> tuple[str, int]:
        instance = self._presence.known[name]
        return self.prober.address(self.prober.resolved(name, {name: instance}), instance)

    def _sampled(self, name: str, values: Values) -> None:
        if values:
            self._samples(Sample(now(), name, values))

    def _tell(self, found: Iterable[Happening], once: str = "") -> None:
        for one in found:
            key = once or (one.service if one.kind == "restarted" else "")
            with self._lock:
                if key and one.at - self._restarted.get(key, 0.0) < ONCE:
                    continue
                self._restarted[key] = one.at
            self.say(one)

    def _hurry(self, name: str, seconds: float) -> None:
        for every in self.looks:
            if every.name == name:
                every.next_at = min(every.next_at, time.monotonic() + seconds)

    # Lifecycle

    def tick(self) -> float:
        """Start the checks that are due, and return the seconds until the next one is due."""
        at = time.monotonic()
        for every in self.looks:
            if every.due(at):
                every.next_at = at + every.seconds
                every.future = self._pool.submit(self._safely, every)
        return max(0.05, min(every.next_at for every in self.looks) - time.monotonic())

    def settle(self, everything: bool) -> None:
        """Check services and logs once more, or do all checks if `everything`; wait at most `LOOK_SECONDS`."""
        looks = [every for every in self.looks if everything or every.name in ("presence", "logs")]
        for every in looks:
            if every.name == "presence":
                every.future = self._pool.submit(self._safely, Every("presence", 0, lambda: self._look_presence(True)))
            elif every.name != "tokens":
                every.future = self._pool.submit(self._safely, every)
        wait([every.future for every in looks if every.future], timeout=LOOK_SECONDS)

    def _safely(self, every: Every) -> None:
        """Run one check. If it raises an error, report the error, but not twice within `ONCE` seconds."""
        try:
            every.look()
        except Exception as error:  # noqa: BLE001  the other checks must go on after any error
            text = f"the watch had an error ({every.name}): {error!r}"
            self._tell([Happening(now(), "note", "", text)], f"failed {every.name}")

    def stop(self) -> None:
        """End all checks, and close the files."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        wait([every.future for every in self.looks if every.future], timeout=LOOK_SECONDS)
        self._stack.close()
        self._samples.close()
        self._probes.close()
        for sink in self._sinks.values():
            sink.close()
        for tail in self._tails.values():
            tail.close()
