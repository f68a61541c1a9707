"""What is collected, and how long each collector may take. They run side by side and know nothing of each other.

Each module of `base.registry.COLLECTORS` has some, in a tuple called `COLLECTORS`.
"""

from __future__ import annotations

from importlib import import_module

from envkit.base import registry
from envkit.evidence.collectors.scene import Collector as Collector


def every() -> tuple[Collector, ...]:
    """Return all collectors, in the order in which their modules are registered."""
    return tuple(one for name in registry.COLLECTORS for one in import_module(name).COLLECTORS)
