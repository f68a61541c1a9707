"""Ports for tests: free now, below the range from which the kernel gives out others."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable

from tests.support.box import bindable

GATEWAY = (15437, 16380, 18091, 19091, 28091)
"""The default profile's ports: of those who follow the documents, and so nobody else's."""

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 2
"""Which of two workers this is: neither is given what the other may be given at the same moment."""

RANGE = range(24000 + 1500 * WORKER, 25500 + 1500 * WORKER)
OFFSETS = range(100 + 5 * WORKER, 4000, 10)
"""Two of them that differ by 5 in their last digit never move two ports of `GATEWAY` to the same number."""

_given: set[int] = set()


def free(count: int = 1) -> tuple[int, ...]:
    """Ports that nobody listens on and that were not given out before."""
    found: list[int] = []
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
    for number in random.sample(OFFSETS, len(OFFSETS)):
        moved = {port + number for port in wanted}
        if not moved & (_given | set(GATEWAY)) and all(bindable(port) for port in moved):
            _given.update(moved)
            return number
    raise AssertionError("no offset is free")
