"""Measure the contents of stores before and after a command, and describe the difference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from envkit.base.waiting import Cancel
from envkit.config.models import Environment, Probe
from envkit.drivers.stores import Address, NoAnswer, Store, Values, store_of
from envkit.inventory.drivers import Drivers
from envkit.planning.facts import Instance


@dataclass(frozen=True)
class Measured:
    """The measured values of one store."""

    store: Store
    values: Values


def measure(
    environment: Environment, drivers: Drivers, cancel: Cancel, instances: Mapping[str, Instance]
) -> dict[str, Measured]:
    """Return the measured values of each store under its service's name. A store that does not answer is left out."""
    prober = drivers.prober(cancel)
    questions: dict[str, Callable[[], Measured | None]] = {}
    for name, instance in instances.items():
        if name in environment.services:
            service = prober.resolved(name, {name: instance})
            if service.probe and (store := store_of(service.probe)):
                address = partial(prober.address, service, instance)
                questions[name] = partial(_measured, store, service.probe, address)
    if not questions:
        return {}
    with ThreadPoolExecutor(len(questions), thread_name_prefix="measure") as pool:
        answers = dict(zip(questions, pool.map(lambda ask: ask(), questions.values()), strict=True))
    return {name: found for name, found in answers.items() if found}


def _measured(store: Store, probe: Probe, address: Callable[[], Address]) -> Measured | None:
    with closing(store.sampler(probe, address)) as sample:
        try:
            return Measured(store, sample())
        except (NoAnswer, KeyError):
            return None


def format_delta(before: Mapping[str, Measured], after: Mapping[str, Measured]) -> list[tuple[str, str]]:
    """Return the name of each service, with a line that describes how its values changed."""
    return [(name, _line(found, after.get(name))) for name, found in before.items()]


def _line(before: Measured, after: Measured | None) -> str:
    return before.store.change(before.values, after.values) if after else "does not answer any more"
