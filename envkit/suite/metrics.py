"""Prometheus registries that tests do not share, and a safe way to register for applications that do it globally."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from envkit.base.errors import SuiteError
from envkit.suite.libraries import needed

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

C = TypeVar("C")


class Registries:
    """One process' registry: Prometheus' global one in production mode, one of its own in test mode. Thread-safe."""

    def __init__(self, *, test: bool = False) -> None:
        self._lock = threading.RLock()
        self._held: dict[tuple[str, tuple[str, ...]], object] = {}
        self._registry: CollectorRegistry | None = fresh() if test else None

    @property
    def test(self) -> bool:
        """Whether this is test mode."""
        return self._registry is not None

    @property
    def registry(self) -> CollectorRegistry:
        """Where collectors are registered now."""
        own = self._registry
        if own is not None:
            return own
        found: CollectorRegistry = needed("prometheus_client", "envkit_metrics").REGISTRY
        return found

    def safe_register(self, component: str, collector: C) -> C:
        """Register a collector (made with `registry=None`) for a component; the one to use from now on.

        The same component's second server gets the collector of the first. Raises `SuiteError` when another component
        has metrics of these names.
        """
        names = _names(collector)
        with self._lock:
            held = self._held.get((component, names))
            if held is not None:
                if type(held) is not type(collector):
                    raise SuiteError(f"{component} has {', '.join(names)} already, as a {type(held).__name__}")
                return held
            try:
                self.registry.register(cast(Any, collector))
            except ValueError as error:
                owner = next((who for who, theirs in self._held if set(theirs) & set(names)), "somebody else")
                raise SuiteError(f"{component} cannot register {', '.join(names)}: {owner} has done so") from error
            self._held[component, names] = collector
            return collector

    def reset(self) -> None:
        """Forget what was registered here; what others registered globally stays."""
        with self._lock:
            if self._registry is not None:
                self._registry = fresh()
            else:
                for collector in self._held.values():
                    self.registry.unregister(cast(Any, collector))
            self._held.clear()

    @contextmanager
    def testing(self) -> Iterator[Registries]:
        """Test mode for a while, in a registry of its own; then everything is as it was before."""
        with self._lock:
            before = self._registry, self._held
            self._registry, self._held = fresh(), {}
        try:
            yield self
        finally:
            with self._lock:
                self._registry, self._held = before

    def value(self, name: str, labels: Mapping[str, str] | None = None) -> float:
        """A sample's value; 0 where there is none yet."""
        return self.registry.get_sample_value(name, dict(labels or {})) or 0.0


def fresh() -> CollectorRegistry:
    """A new registry that nobody else has."""
    registry: CollectorRegistry = needed("prometheus_client", "envkit_metrics").CollectorRegistry(auto_describe=True)
    return registry


SHARED = Registries()
"""The process'. In production mode until a test's `envkit_metrics` puts it in test mode."""


def safe_register(component: str, collector: C) -> C:
    """`Registries.safe_register` of the process' own."""
    return SHARED.safe_register(component, collector)


def _names(collector: Any) -> tuple[str, ...]:
    described = collector.describe() if hasattr(collector, "describe") else collector.collect()
    return tuple(sorted(metric.name for metric in described))
