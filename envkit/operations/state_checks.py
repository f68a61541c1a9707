"""The errors of every command for an environment that is not up, is paused, or is up in another place.

Every command therefore prints the same text and hint. This module imports little, because `env` must be fast.
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
    """Return the error for an environment, or a part of it (`what`), that is not up.

    `up` is the command that the hint names.
    """
    return NotUp(f"{what} of environment {environment} is not up" if what else f"environment {environment} is not up",
                 hint=f"bring it up with `{up}`")  # fmt: skip


def is_paused(environment: str, up: str = "up") -> NotUp:
    """Return the error for a paused environment; `up` is the command that resumes it."""
    return NotUp(f"environment {environment} is paused", hint=f"`{up}` resumes it")


def check_not_paused(environment: str, up: str, found: Iterable[Instance]) -> None:
    """Raise `NotUp` if any of the instances is paused."""
    if any(instance.state == "paused" for instance in found):
        raise is_paused(environment, up)


def check_place(environment: Environment, record: Record) -> None:
    """Raise `HolderError` if the environment is up, and the configuration requests another engine or lane.

    `environment` is the configuration before envkit chose a lane. `auto` matches every engine and lane.
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
    """Return the place that the configuration requests (an engine's name or plain processes), or "" for any place."""
    if runs_processes(environment.lane):
        return "plain processes"
    if environment.engine != "auto":
        return str(environment.engine)
    return "" if environment.lane == "auto" else "an engine"
