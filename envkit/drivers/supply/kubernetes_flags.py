"""Flags that newer versions of Kubernetes have removed. A Kubernetes server does not start with an unknown flag."""

from __future__ import annotations

import re
from collections.abc import Sequence

REMOVED = {"--insecure-port": (1, 24), "--port": (1, 24)}
"""Flags that older versions need. The value is the first version of Kubernetes that refuses the flag."""


def without_refused(command: Sequence[str], version: str) -> tuple[str, ...]:
    """Return the command without the flags in `REMOVED` that this version of Kubernetes refuses."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    number = (int(found[1]), int(found[2])) if found else (1, 99)
    return tuple(word for word in command if number < REMOVED.get(word.partition("=")[0], (9, 9)))
