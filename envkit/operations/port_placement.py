"""Bring up an environment at a given port offset, or at an offset that envkit chooses.

If another program takes a port of a chosen offset first, envkit tries another offset.
"""

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
"""Largest number of offsets that one `up` tries. An offset is lost if a port is taken between choosing and binding."""


class PortsLost(Exception):
    """Another program took a port of the chosen offset, and nothing of the environment exists any more.

    `with_port_offset` catches this exception, so no user sees it.
    """

    def __init__(self, error: EnvkitError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(frozen=True)
class Placement:
    """What `with_port_offset` needs to choose a port offset.

    `fixed_ports` are the host ports of the configuration, without an offset; envkit chooses an offset for them.
    `settle` is a function that writes the environment's files for an offset, and returns the environment at that
    offset. If `settle` is None, the environment is used as it is.
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
    """Call `bring_up` at the environment's offset, or at another one if a port of a chosen offset was lost.

    The caller holds the environment's lock. Only the bind shows that a port is free; a check before it cannot.
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
    """Raise `PortsLost` in place of an error about a taken port, if another offset can be tried.

    Another offset can be tried if envkit chose the offset and nothing of the environment existed (`from_nothing`).
    """
    try:
        yield
    except EnvironmentFailed as error:
        if from_nothing and (lost := lost_port(environment, error)):
            raise PortsLost(lost) from error
        raise


def lost_port(environment: Environment, error: BaseException) -> EnvkitError | None:
    """Return the error if envkit chose the offset and the error says that a port is taken, else None."""
    if not environment.offset_auto or not isinstance(error, EnvkitError):
        return None
    errors = error.errors.values() if isinstance(error, StepsFailed) else [error]
    return error if any(isinstance(one, PortTaken) for one in errors) else None
