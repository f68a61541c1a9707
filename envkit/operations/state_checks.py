"""What every verb says of an environment that is not up, that is paused, or that is up somewhere else.

One wording and one next step. Imports little: `env` says these too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from envkit.base.errors import HolderError, NotUp
from envkit.base.ports import accepts
from envkit.base.registry import runs_processes

if TYPE_CHECKING:
    from envkit.config.models import Environment
    from envkit.inventory.state import Record
    from envkit.planning.facts import Instance


def not_up(environment: str, up: str = "up", what: str = "") -> NotUp:
    """Nothing of the environment is there, or `what` of it is not; `up` is the command that brings it up."""
    return NotUp(f"{what} of environment {environment} is not up" if what else f"environment {environment} is not up",
                 hint=f"bring it up with `{up}`")  # fmt: skip


def is_paused(environment: str, up: str = "up") -> NotUp:
    """The environment is held; `up` is the command that resumes it."""
    return NotUp(f"environment {environment} is paused", hint=f"`{up}` resumes it")


def check_not_paused(environment: str, up: str, found: Iterable[Instance]) -> None:
    """Raise `NotUp` when anything of the environment is held."""
    if any(instance.state == "paused" for instance in found):
        raise is_paused(environment, up)


def check_place(environment: Environment, record: Record) -> None:
    """Raise `HolderError` when the environment is up, and an engine or a lane is asked for that it is not up on.

    `environment` is as the caller configured it. What was left open contradicts nothing.
    """
    there = record.engine or "plain processes"
    here = asked_place(environment)
    elsewhere = here and here not in (there, "an engine" if record.engine else "")
    if elsewhere and any(accepts(port) for port in record.ports.values()):
        raise HolderError(
            f"environment {environment.name} is up on {there}, and this asks for {here}",
            hint=f"run `down` first, or stay on {there}",
        )


def asked_place(environment: Environment) -> str:
    """Where the configuration asks the environment to run; empty where it leaves that open."""
    if runs_processes(environment.lane):
        return "plain processes"
    if environment.engine != "auto":
        return str(environment.engine)
    return "" if environment.lane == "auto" else "an engine"
