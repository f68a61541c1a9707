"""A toy store, whose reset only returns a text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from envkit.drivers.stores import Address, Values


class Sampling:
    """A sampler with one constant number."""

    def __call__(self) -> Values:
        return {"toys": 1.0}

    def close(self) -> None:
        pass


class ToyStore:
    """The toy store; see `drivers.stores.Store`."""

    pace = 1.0
    limits_memory = False

    def reset(self, _probe: Any, address: Address, *, thoroughly: bool) -> str:
        return f"toys put away, {address[0]}" if thoroughly else ""

    def client(self, _probe: Any, port: int) -> tuple[list[str], dict[str, str]]:
        return ["echo", f"toys at {port}"], {}

    def sampler(self, _probe: Any, _address: Callable[[], Address]) -> Sampling:
        return Sampling()

    def change(self, before: Values, after: Values) -> str:
        return f"toys {before['toys']:.0f} -> {after['toys']:.0f}"

    def report(self, _probe: Any, _address: Address) -> Iterator[str]:
        yield "toys are well"


STORE = ToyStore()
