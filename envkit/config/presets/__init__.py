"""Presets: functions that take a few options and return a service, as it would be in a configuration file.

envkit merges the user's own keys over the result. The result uses references (`${self.port}`), so that it stays correct
after the user's changes. Each preset is a module with a `PRESET`, registered in `base.registry.PRESETS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from envkit.base import registry
from envkit.config.models import Model


@dataclass(frozen=True)
class Preset:
    """One preset: the model of its options, and the function that returns a service for them."""

    options: type[Model]
    expand: Callable[[Any], dict[str, Any]]


def names() -> tuple[str, ...]:
    """Return the names of all presets."""
    return tuple(registry.PRESETS)


def preset(name: str) -> Preset:
    """Return the preset of that name. Raises `KeyError` for an unknown name."""
    found: Preset = registry.module(registry.PRESETS, name).PRESET
    return found


def every() -> dict[str, Preset]:
    """Return all presets by name."""
    return {name: preset(name) for name in names()}


def expanded(preset: Preset, options: Any, own: dict[str, Any]) -> dict[str, Any]:
    """Return the preset's service without the keys that the user's `own` keys replace.

    The user's `image` or `build` replaces `image`, `build` and `process`. The user's `host_command` or `migrations`
    replaces all keys except `exports` and `needs`.
    """
    service = preset.expand(options)
    if own.get("image") or own.get("build"):
        for key in ("image", "build", "process"):
            service.pop(key, None)
    if own.get("host_command") or own.get("migrations"):
        service = {key: value for key, value in service.items() if key in ("exports", "needs")}
    return service
