"""The export format for POSIX shells, for `eval "$(envkit env)"`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping


def render(variables: Mapping[str, str]) -> str:
    """Return one `export` command for each variable, sorted. POSIX quoting keeps every value, including newlines."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(variables.items()))
