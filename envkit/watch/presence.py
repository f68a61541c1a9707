"""Checks whether services run. The check runs often, so it uses the cheapest call of each runtime."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress

from envkit.base.abilities import able
from envkit.base.errors import EngineError
from envkit.drivers.runtimes.base import Glances, Runtime
from envkit.planning.facts import Instance
from envkit.watch.detectors import change
from envkit.watch.timeline import Happening, now

DEEP = 4.0
"""Seconds between full inspections. A container that was restarted between two quick checks seems unchanged."""


class Presence:
    """The last observed state of one environment's services."""

    def __init__(self, runtime: Runtime, environment: str, instances: Mapping[str, Instance]) -> None:
        """Keep `instances`: the services that should run, by name, as they were when the environment was ready."""
        self._runtime, self._environment = runtime, environment
        self.known: dict[str, Instance] = dict(instances)
        self._deep = time.monotonic()
        self._lock = threading.Lock()

    def __call__(self, deep: bool = False) -> list[Happening]:
        """Return what happened to the services since the last call.

        With `deep`, inspect every container. Raises `EngineError` if the engine does not answer.
        """
        with self._lock:
            seen = self._seen(deep)
            found = [one for name, it in seen.items() for one in change(now(), self.known[name], it)]
            self.known.update(seen)
            return found

    def _seen(self, deep: bool) -> dict[str, Instance]:
        if (glancing := able(self._runtime, Glances)) is None:
            return {name: self._runtime.look(it) for name, it in self.known.items()}
        rows = glancing.glance(self._environment)
        ids = {service: identity for identity, (service, _) in rows.items()}
        if deep or time.monotonic() - self._deep > DEEP:
            deep, self._deep = True, time.monotonic()
        found = {}
        for name, it in self.known.items():
            if it.id in rows and rows[it.id][1] == it.state and not deep:
                found[name] = it
            elif it.id not in rows and name in ids:
                found[name] = self._replaced(name, it)
            else:
                found[name] = self._runtime.look(it)
        return found

    def _replaced(self, name: str, before: Instance) -> Instance:
        """Return the new container of the service, or the old container if no new one is found."""
        with suppress(EngineError):
            for instance in self._runtime.observe(self._environment):
                if instance.service == name:
                    return instance
        return before
