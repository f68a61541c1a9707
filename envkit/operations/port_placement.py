"""At which port offset an `up` works: a given one, or one that envkit chooses, and another one where a race is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from envkit.base.control import Control
from envkit.base.errors import EnvironmentFailed, EnvkitError, PortTaken, StepsFailed
from envkit.base.paths import Paths
from envkit.config.models import Environment
from envkit.inventory import offsets, state

Result = TypeVar("Result")

TRIES = 5
"""Offsets that one `up` tries at the most: each lost one was taken in the moment between choosing and binding."""


class PortsLost(Exception):
    """Somebody took a port of the chosen offset; nothing of the environment is there any more. Never shown."""

    def __init__(self, error: EnvkitError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(frozen=True)
class Placement:
    """How an environment gets its port offset.

    `fixed_ports` are the configuration's own host ports, without an offset: an offset is chosen for them.
    `settle` returns the environment at an offset, its files made; None leaves the environment as it is.
    """

    fixed_ports: frozenset[int] = frozenset()
    settle: Callable[[int], Environment] | None = None


def with_port_offset(
    environment: Environment,
    paths: Paths,
    control: Control,
    placement: Placement,
    bring_up: Callable[[Environment], Result],
) -> Result:
    """Bring up at the environment's offset; where envkit chose that and lost a port of it, at another one.

    The lock of the environment is held. The bind is what decides: no look beforehand can.
    """
    lost: list[int] = []
    while True:
        offset = _offset(environment, paths, control, placement, lost)
        try:
            return bring_up(placement.settle(offset) if placement.settle else environment)
        except PortsLost as trouble:
            if len(lost) + 1 >= TRIES:
                raise trouble.error from trouble
            control.cancel.begin_again()
            lost.append(offset)
            (paths.folder / "ports.json").unlink(missing_ok=True)
            first = trouble.error.message.splitlines()[0]
            control.stream.note(f"port offset {lost[-1]} cannot be used, choosing another one: {first}")


def _offset(environment: Environment, paths: Paths, control: Control, placement: Placement, lost: Sequence[int]) -> int:
    offset = environment.port_offset
    if environment.offset_auto and (lost or state.read(paths) is None):
        offset = offsets.reserve(paths, environment.checkout, placement.fixed_ports, control.cancel, lost)
        control.stream.note(f"port offset {offset} (chosen, and kept for this checkout)")
    return offset


@contextmanager
def ports_lost_as_error(environment: Environment, *, from_nothing: bool) -> Iterator[None]:
    """Turn the failure into `PortsLost` where another offset can be tried: nothing of the environment is there yet."""
    try:
        yield
    except EnvironmentFailed as error:
        if from_nothing and (lost := lost_port(environment, error)):
            raise PortsLost(lost) from error
        raise


def lost_port(environment: Environment, error: BaseException) -> EnvkitError | None:
    """The failure, if envkit chose the offset and somebody else has a port of it; else None."""
    if not environment.offset_auto or not isinstance(error, EnvkitError):
        return None
    errors = error.errors.values() if isinstance(error, StepsFailed) else [error]
    return error if any(isinstance(one, PortTaken) for one in errors) else None
