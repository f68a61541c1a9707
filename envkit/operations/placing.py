"""At which port offset an `up` works: a given one, or one that envkit chooses, and another one where a race is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from envkit.base.errors import EnvironmentFailed, EnvkitError, PortTaken, StepsFailed
from envkit.inventory import offsets, state
from envkit.inventory.session import Session

Result = TypeVar("Result")

TRIES = 5
"""Offsets that one `up` tries at the most: each lost one was taken in the moment between choosing and binding."""


class PortsLost(Exception):
    """Somebody took a port of the chosen offset; nothing of the environment is there any more. Never shown."""

    def __init__(self, error: EnvkitError) -> None:
        super().__init__(error.message)
        self.error = error


def at_an_offset(session: Session, bring_up: Callable[[], Result]) -> Result:
    """Bring up at the environment's offset; where envkit chose that and lost a port of it, at another one.

    The lock of the environment is held. The bind is what decides: no look beforehand can.
    """
    lost: list[int] = []
    while True:
        _place(session, lost)
        try:
            return bring_up()
        except PortsLost as trouble:
            if len(lost) + 1 >= TRIES:
                raise trouble.error from trouble
            session.cancel.begin_again()
            lost.append(session.environment.port_offset)
            (session.paths.folder / "ports.json").unlink(missing_ok=True)
            first = trouble.error.message.splitlines()[0]
            session.stream.note(f"port offset {lost[-1]} cannot be used, choosing another one: {first}")


def _place(session: Session, lost: Sequence[int]) -> None:
    environment = session.environment
    offset = environment.port_offset
    if environment.offset_auto and (lost or state.read(session.paths) is None):
        offset = offsets.reserve(session.paths, environment.checkout, session.fixed_ports, session.cancel, lost)
        session.stream.note(f"port offset {offset} (chosen, and kept for this checkout)")
    session.move(offset)


@contextmanager
def losing_ports(session: Session, *, from_nothing: bool) -> Iterator[None]:
    """Turn the failure into `PortsLost` where another offset can be tried: nothing of the environment is there yet."""
    try:
        yield
    except EnvironmentFailed as error:
        if from_nothing and (lost := lost_port(session, error)):
            raise PortsLost(lost) from error
        raise


def lost_port(session: Session, error: BaseException) -> EnvkitError | None:
    """The failure, if envkit chose the offset and somebody else has a port of it; else None."""
    if not session.environment.offset_auto or not isinstance(error, EnvkitError):
        return None
    errors = error.errors.values() if isinstance(error, StepsFailed) else [error]
    return error if any(isinstance(one, PortTaken) for one in errors) else None
