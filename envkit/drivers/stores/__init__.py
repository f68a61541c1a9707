"""Stores: services in which test suites keep data. Each module has a `STORE`, registered by the type of its probe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from envkit.base import registry
from envkit.config.models import Probe

Values = Mapping[str, float | str]

Address = tuple[str, int]
"""Host and port."""


class NoAnswer(Exception):
    """The store did not answer, or has no such database; the text has the reason."""


class Sampler(Protocol):
    """Reads the numbers of a store each time it is called."""

    def __call__(self) -> Values:
        """Return the current numbers. Raises `NoAnswer`."""

    def close(self) -> None:
        """Close all open connections."""


class Store(Protocol):
    """One kind of store."""

    pace: float
    """Seconds between two samples while a command runs."""
    limits_memory: bool
    """Whether the store limits its own memory; its samples then have `used_memory`."""

    def reset(self, probe: Any, address: Address, *, thoroughly: bool) -> str:
        """Restore the state before the first test; return a text about the changes, or an empty string without any.

        Without `thoroughly` it does only work that takes less than a second, because every `run` begins with this call.
        Raises `EnvironmentFailed`.
        """

    def client(self, probe: Any, port: int) -> tuple[list[str], dict[str, str]]:
        """Return the command line of the store's client for 127.0.0.1 and the port, and variables for the login."""

    def sampler(self, probe: Any, address: Callable[[], Address]) -> Sampler:
        """Return a sampler of the store, which calls `address` for each new connection."""

    def change(self, before: Values, after: Values) -> str:
        """Return one line of text about the difference between two samples."""

    def report(self, probe: Any, address: Address) -> Iterator[str]:
        """Yield the state of the store as text, for evidence. Raises `ConnectionError`."""


def store_of(probe: Probe | None) -> Store | None:
    """Return the store of a probe's type, or None if this type has no store."""
    if probe is None or probe.type not in registry.STORES:
        return None
    found: Store = registry.module(registry.STORES, probe.type).STORE
    return found


def number(values: Values, name: str) -> float:
    """Return the number with this name, or 0 if it is missing."""
    return float(values.get(name, 0.0))
