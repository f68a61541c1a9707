"""Prometheus registries for tests, and `safe_register` for applications that use the global registry."""

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
    """Chooses the registry: Prometheus' global one in production mode, or a private one in test mode. Thread-safe."""

    def __init__(self, *, test: bool = False) -> None:
        self._lock = threading.RLock()
        self._held: dict[tuple[str, tuple[str, ...]], object] = {}
        self._registry: CollectorRegistry | None = fresh() if test else None

    @property
    def test(self) -> bool:
        """Whether test mode is on."""
        return self._registry is not None

    @property
    def registry(self) -> CollectorRegistry:
        """The registry in which `safe_register` registers collectors now."""
        own = self._registry
        if own is not None:
            return own
        found: CollectorRegistry = needed("prometheus_client", "envkit_metrics").REGISTRY
        return found

    def safe_register(self, component: str, collector: C) -> C:
        """Register a collector (created with `registry=None`) for a component, and return the collector to use.

        If the component has registered these names before, it returns the earlier collector. Raises `SuiteError` if
        that collector has another type, or if another component has metrics with these names.
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
                owner = next((who for who, theirs in self._held if set(theirs) & set(names)), "another component")
                raise SuiteError(f"{component} cannot register {', '.join(names)}: {owner} has done so") from error
            self._held[component, names] = collector
            return collector

    def reset(self) -> None:
        """Unregister all collectors that `safe_register` registered, but no other collectors of the global registry."""
        with self._lock:
            if self._registry is not None:
                self._registry = fresh()
            else:
                for collector in self._held.values():
                    self.registry.unregister(cast(Any, collector))
            self._held.clear()

    @contextmanager
    def testing(self) -> Iterator[Registries]:
        """Switch to test mode with a new registry; restore the previous state when the context ends."""
        with self._lock:
            before = self._registry, self._held
            self._registry, self._held = fresh(), {}
        try:
            yield self
        finally:
            with self._lock:
                self._registry, self._held = before

    def value(self, name: str, labels: Mapping[str, str] | None = None) -> float:
        """Return the value of a sample, or 0 if the registry does not have it yet."""
        return self.registry.get_sample_value(name, dict(labels or {})) or 0.0


def fresh() -> CollectorRegistry:
    """Return a new, empty registry."""
    registry: CollectorRegistry = needed("prometheus_client", "envkit_metrics").CollectorRegistry(auto_describe=True)
    return registry


SHARED = Registries()
"""The registries of this process. The fixture `envkit_metrics` switches them to test mode."""


def safe_register(component: str, collector: C) -> C:
    """Register a collector with `SHARED`; see `Registries.safe_register`."""
    return SHARED.safe_register(component, collector)


def _names(collector: Any) -> tuple[str, ...]:
    described = collector.describe() if hasattr(collector, "describe") else collector.collect()
    return tuple(sorted(metric.name for metric in described))
