"""Validate raw data into a frozen model and collect all faults, so that one run checks valid and invalid parts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from envkit.config.merge import Keys
from envkit.config.validation_messages import explained, has

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Typed(Generic[M]):
    """The result of validation: the model of the valid parts, the faults by path, and the removed list items.

    `value` is None if no model could be built.
    """

    value: M | None
    findings: dict[Keys, str]
    gone: frozenset[Keys] = frozenset()

    def written(self, keys: Keys) -> Keys:
        """Return the path in the file for a path in `value`; indexes differ where a list lost invalid items."""
        path: Keys = ()
        for key in keys:
            for lost in sorted(k[-1] for k in self.gone if k[:-1] == path and isinstance(k[-1], int)):
                key = key + 1 if isinstance(key, int) and lost <= key else key
            path = (*path, key)
        return path


MOST = 200
"""Maximum number of reported faults; more of them usually have one common cause."""

ROUNDS = 8
"""Maximum number of validation rounds. Each round removes invalid values; deeper faults appear in later rounds."""


def parsed(model: type[M], raw: dict[str, Any], also: tuple[str, ...] = ()) -> Typed[M]:
    """Validate `raw` and return the model of its valid parts with the faults of the invalid parts.

    The function removes invalid values, so that the same run can check the rest. `also` has top-level keys that a file
    can contain and the model lacks; messages about unknown keys offer them.
    """
    typed: Typed[M] = Typed(None, {})
    taken: list[Keys] = []
    for _ in range(ROUNDS):
        try:
            return replace(typed, value=model.model_validate(raw))
        except ValidationError as error:
            count = error.error_count()
            wrong = explained(error, model, raw, also, MOST)
        if count > MOST:
            typed.findings.update(wrong)
            typed.findings.setdefault((), f"has {count} faults; the first {MOST} are listed")
            return typed
        for keys, message in wrong.items():
            keys = typed.written(keys)
            if not any(other[: len(keys)] == keys for other in taken):
                typed.findings.setdefault(keys, message)
        taken += [typed.written(keys) for keys in wrong]
        targets = {_there(raw, keys) for keys in wrong}
        if () in targets:
            return typed
        lost = {typed.written(keys) for keys in targets if isinstance(keys[-1], int)}
        raw = _without(raw, sorted(targets, key=_last_first, reverse=True))
        typed = replace(typed, gone=typed.gone | lost)
    return typed


def _last_first(keys: Keys) -> tuple[int, tuple[str, ...]]:
    return len(keys), tuple(f"{key:09d}" if isinstance(key, int) else key for key in keys)


def _there(raw: Any, keys: Keys) -> Keys:
    """Return the part of the path that exists; if a key is missing, this is the path of the mapping that lacks it."""
    for index, key in enumerate(keys):
        if not has(raw, key):
            return keys[:index]
        raw = raw[key]
    return keys


def _without(raw: Any, targets: list[Keys]) -> Any:
    for keys in targets:
        raw = _cut(raw, keys) if _there(raw, keys) == keys else raw
    return raw


def _cut(raw: Any, keys: tuple[Any, ...]) -> Any:
    """Return a copy without the value at `keys`."""
    copied = raw.copy()
    if len(keys) == 1:
        del copied[keys[0]]
    else:
        copied[keys[0]] = _cut(copied[keys[0]], keys[1:])
    return copied
