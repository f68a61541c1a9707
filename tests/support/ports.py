"""Ports for tests: free now, below the range from which the kernel gives out others."""

from __future__ import annotations

import random
from collections.abc import Iterable

from tests.support.box import bindable

GATEWAY = (15437, 16380, 18091, 19091, 28091)
"""The default profile's ports."""

RANGE = range(20000, 27000)
_given: set[int] = set()


def free(count: int = 1) -> tuple[int, ...]:
    """Ports that nobody listens on and that were not given out before."""
    found = []
    for port in random.sample(RANGE, len(RANGE)):
        if len(found) == count:
            break
        if port not in _given and bindable(port):
            found.append(port)
    _given.update(found)
    return tuple(found)


def offset(ports: Iterable[int] = GATEWAY) -> int:
    """An offset under which all of the ports are free."""
    wanted = tuple(ports)
    for number in random.sample(range(100, 4000), 3900):
        moved = {port + number for port in wanted}
        if not moved & _given and all(bindable(port) for port in moved):
            _given.update(moved)
            return number
    raise AssertionError("no offset is free")
