"""Raw data into a frozen model, with what is wrong told apart from what is right: both are judged in one run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from envkit.config.merge import Keys
from envkit.config.words import explained, has

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Typed(Generic[M]):
    """What is right, as the model (None when nothing is); what is wrong, by path; and the list items taken out."""

    value: M | None
    findings: dict[Keys, str]
    gone: frozenset[Keys] = frozenset()

    def written(self, keys: Keys) -> Keys:
        """The path in the file of a path in `value`: lists are shorter there by what was taken out."""
        path: Keys = ()
        for key in keys:
            for lost in sorted(k[-1] for k in self.gone if k[:-1] == path and isinstance(k[-1], int)):
                key = key + 1 if isinstance(key, int) and lost <= key else key
            path = (*path, key)
        return path


MOST = 200
"""Faults that are told; whoever has more has one mistake that they all come from."""

ROUNDS = 8
"""Times that wrong values are taken out; what is wrong shows up level by level."""


def parsed(model: type[M], raw: dict[str, Any], also: tuple[str, ...] = ()) -> Typed[M]:
    """The model of what is right in `raw`: wrong values are taken out, so that the rest can be judged in the same run.

    `also` are keys at the top that a file may hold and the model does not.
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
            typed.findings.setdefault((), f"has {count} faults; the first {MOST} are told")
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
    """The part of the path that exists: where a key is missing, the mapping that lacks it."""
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
    """A copy without the value at `keys`."""
    copied = raw.copy()
    if len(keys) == 1:
        del copied[keys[0]]
    else:
        copied[keys[0]] = _cut(copied[keys[0]], keys[1:])
    return copied
