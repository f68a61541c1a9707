"""Imports client libraries that only some fixtures need; the error names a missing library."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from envkit.base.errors import SuiteError
from envkit.base.installed import extra_command

EXTRA = "suite"


def needed(module: str, fixture: str) -> Any:
    """Import `module` and return it. Raises `SuiteError` if it is not installed; the error names the fixture."""
    try:
        return import_module(module)
    except ImportError as error:
        raise SuiteError(
            f"{fixture} needs the library {module.partition('.')[0]}, which is not installed here: {error}",
            hint=extra_command(EXTRA),
        ) from error
