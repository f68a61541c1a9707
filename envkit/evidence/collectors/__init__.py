"""Collectors of evidence, each with a time limit. They run in parallel and do not depend on each other.

Each module that is named in `base.registry.COLLECTORS` contains its collectors in a tuple `COLLECTORS`.
"""

from __future__ import annotations

from importlib import import_module

from envkit.base import registry
from envkit.evidence.collectors.context import Collector as Collector


def every() -> tuple[Collector, ...]:
    """Return all collectors, in the order in which their modules are registered."""
    return tuple(one for name in registry.COLLECTORS for one in import_module(name).COLLECTORS)
