"""Compare the running environment with the desired environment, and find the data that a change would lose."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from envkit.base.errors import ReplacementRefused
from envkit.planning.facts import Facts, Instance
from envkit.planning.made import holds_data
from envkit.planning.plan import removes
from envkit.planning.steps import Action, Desired, Plan, Step, Subject

TOLD = (Subject.SERVICE, Subject.CLUSTER, Subject.BOOTSTRAP, Subject.STRAY)
"""Subjects that a difference reports; steps for the network, images and preparation are not reported."""


@dataclass(frozen=True)
class Difference:
    """A thing that differs from its desired state. `loses` is true if it works, holds data and will be removed."""

    name: str
    reason: str
    loses: bool = False

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


def differences(steps: Plan, desired: Desired, facts: Facts) -> tuple[Difference, ...]:
    """Return a difference for each change of a subject in `TOLD`, except for the resumption of paused things."""
    told = (step for step in steps.changes if step.subject in TOLD and step.action is not Action.RESUME)
    return tuple(Difference(step.about, step.reason, _loses(step, desired, facts)) for step in told)


def keep_data(found: Sequence[Difference], before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Raise `ReplacementRefused` if a change would lose data.

    `before` and `now` are the options (`Request.asked`) of the last `up` and of this command; the hint shows which
    options are missing now.
    """
    lost = [one for one in found if one.loses]
    if not lost:
        return
    origin = _no_longer(before, now)
    ways = [f"it was brought up with {origin}: give that to this command as well"] if origin else []
    ways.append("`run --replace` replaces it, and its data is lost; `down` first removes the whole environment")
    said = "".join(f"\n  - {one}" for one in lost)
    raise ReplacementRefused(
        f"this would replace working parts that hold data; nothing was changed:{said}", hint="\n".join(ways)
    )


def _no_longer(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return the options that the user gave before and does not give now, as the user typed them."""
    values = {key: _value(text) for key, text in now.items()}
    return " ".join(text for key, text in before.items() if values.get(key) != _value(text))


def _value(option: str) -> str:
    """Return the value of an option: `a` for `--overlay a` and for `ENVKIT_OVERLAY=a`."""
    return re.split(r"[ =]", option, maxsplit=1)[-1]


def _loses(step: Step, desired: Desired, facts: Facts) -> bool:
    """Return whether the step loses data; a service or cluster that is dead or never worked has no data to lose."""
    if not removes(step, facts):
        return False
    if step.subject is Subject.CLUSTER:
        fact = facts.cluster
        return fact.state in ("running", "paused") and bool(fact.fingerprint) and not fact.unready
    if step.subject is Subject.STRAY:
        stray = next(it for it in facts.strays if it.name == step.name)
        return _lives(stray) and (stray.volumes or stray.service in facts.data)
    instance, want = facts.instances[step.name], desired.services[step.name]
    # If the fingerprint differs, ignore the probe result, because the probe checks for the new configuration.
    broken = step.name in facts.unready and instance.fingerprint == want.fingerprint
    return _lives(instance) and not broken and holds_data(desired.environment.services[step.name], instance)


def _lives(instance: Instance) -> bool:
    return instance.running or instance.state == "paused"
