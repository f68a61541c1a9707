"""Stores: services in which suites keep data. Each is a module with a `STORE`, registered by its probe's type."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from envkit.base import registry
from envkit.config.models import Probe

Values = Mapping[str, float | str]

Address = tuple[str, int]
"""Host and port."""


class NoAnswer(Exception):
    """No answer; the text says what was seen instead."""


class Sampler(Protocol):
    """Asks a store for its numbers, again and again."""

    def __call__(self) -> Values:
        """Return the numbers of this moment. Raises `NoAnswer`."""

    def close(self) -> None:
        """Give back what is kept open."""


class Store(Protocol):
    """One kind of store."""

    pace: float
    """Seconds between two samples while a command runs."""
    limits_memory: bool
    """Whether it has a memory limit of its own: its samples then have `used_memory`."""

    def reset(self, probe: Any, address: Address, *, thoroughly: bool) -> str:
        """Make it as if no test had run; return what was done, or an empty text for nothing.

        Not `thoroughly` is what every run begins with, within a second. Raises `EnvironmentFailed`.
        """

    def client(self, probe: Any, port: int) -> tuple[list[str], dict[str, str]]:
        """Return the command line of its client for 127.0.0.1 and a port, and the variables that log it in."""

    def sampler(self, probe: Any, address: Callable[[], Address]) -> Sampler:
        """Return what samples it; `address` is called when a connection is made."""

    def change(self, before: Values, after: Values) -> str:
        """Return one line about two samples."""

    def report(self, probe: Any, address: Address) -> Iterator[str]:
        """Yield what it says about itself, for evidence. Raises `ConnectionError`."""


def store_of(probe: Probe | None) -> Store | None:
    """Return the store that such a probe asks, or None if it asks none."""
    if probe is None or probe.type not in registry.STORES:
        return None
    found: Store = registry.module(registry.STORES, probe.type).STORE
    return found


def number(values: Values, name: str) -> float:
    """Return one of the numbers, 0 if it is missing."""
    return float(values.get(name, 0.0))
