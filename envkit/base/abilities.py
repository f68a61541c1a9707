"""Optional abilities of drivers, as protocols. Callers ask for an ability, never for the concrete type of a driver."""

from __future__ import annotations

from inspect import getattr_static
from typing import TypeVar, cast

Ability = TypeVar("Ability")
_NOTHING = object()


def able(driver: object, ability: type[Ability]) -> Ability | None:
    """Return the driver, typed as the protocol `ability`, or None if the driver lacks a member of that protocol.

    The function does not evaluate properties of the driver, because a property can open a connection.
    """
    members = {name for name in (*vars(ability), *vars(ability).get("__annotations__", {})) if not name.startswith("_")}
    has = all(getattr_static(driver, name, _NOTHING) is not _NOTHING for name in members)
    return cast("Ability", driver) if has else None
