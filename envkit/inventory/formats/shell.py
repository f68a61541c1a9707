"""POSIX shell, for `eval "$(envkit env)"`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping


def render(variables: Mapping[str, str]) -> str:
    """Return an `export` for each variable, sorted. POSIX quoting holds every value, newlines included."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(variables.items()))
