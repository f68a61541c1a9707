"""Imports client libraries that only some fixtures need, and reports a missing one by name."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from envkit.base.errors import SuiteError
from envkit.base.installed import extra_command

EXTRA = "suite"


def needed(module: str, fixture: str) -> Any:
    """Import `module` and return it. If it is not installed, raises `SuiteError` with the fixture and the extra."""
    try:
        return import_module(module)
    except ImportError as error:
        raise SuiteError(
            f"{fixture} needs the library {module.partition('.')[0]}, which is not installed here: {error}",
            hint=extra_command(EXTRA),
        ) from error
