"""Rare abilities of drivers: protocols that some of them fulfil. Nothing else asks what a driver is."""

from __future__ import annotations

from inspect import getattr_static
from typing import TypeVar, cast

Ability = TypeVar("Ability")
_NOTHING = object()


def able(driver: object, ability: type[Ability]) -> Ability | None:
    """Return the driver as one with that ability, or None if it has it not.

    `ability` is a protocol. No property of the driver is evaluated: one may open a connection.
    """
    members = {name for name in (*vars(ability), *vars(ability).get("__annotations__", {})) if not name.startswith("_")}
    has = all(getattr_static(driver, name, _NOTHING) is not _NOTHING for name in members)
    return cast("Ability", driver) if has else None
