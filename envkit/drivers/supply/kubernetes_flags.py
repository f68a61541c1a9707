"""Flags that versions of Kubernetes removed: a server refuses to start with one that it does not know."""

from __future__ import annotations

import re
from collections.abc import Sequence

REMOVED = {"--insecure-port": (1, 24), "--port": (1, 24)}
"""Flags that older versions want and newer ones refuse, with the first version that refuses them."""


def without_refused(command: Sequence[str], version: str) -> tuple[str, ...]:
    """The command less the flags that this version of Kubernetes refuses."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    number = (int(found[1]), int(found[2])) if found else (1, 99)
    return tuple(word for word in command if number < REMOVED.get(word.partition("=")[0], (9, 9)))
