"""Chooses ports for tests: free ones, below the kernel's range of ephemeral ports."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable

from tests.support.box import bindable

GATEWAY = (15437, 16380, 18091, 19091, 28091)
"""The ports of the default profile. Only tests that follow the documents use them."""

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 2
"""The number of this pytest worker, 0 or 1. The two workers get different ports."""

RANGE = range(24000 + 1500 * WORKER, 25500 + 1500 * WORKER)
OFFSETS = range(100 + 5 * WORKER, 4000, 10)
"""Port offsets for this worker. With offsets of two workers, no two ports of `GATEWAY` get the same number."""

_given: set[int] = set()


def free(count: int = 1) -> tuple[int, ...]:
    """Return `count` ports on which no process listens and which were not returned before."""
    found: list[int] = []
    for port in random.sample(RANGE, len(RANGE)):
        if len(found) == count:
            break
        if port not in _given and bindable(port):
            found.append(port)
    _given.update(found)
    return tuple(found)


def offset(ports: Iterable[int] = GATEWAY) -> int:
    """Return an offset for which all moved ports are free."""
    wanted = tuple(ports)
    for number in random.sample(OFFSETS, len(OFFSETS)):
        moved = {port + number for port in wanted}
        if not moved & (_given | set(GATEWAY)) and all(bindable(port) for port in moved):
            _given.update(moved)
            return number
    raise AssertionError("no offset is free")
