"""A program made of given tasks, and a function that runs it, for tests of the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from invoke.collection import Collection

from envkit.cli.command import command
from envkit.cli.main import run


def program(*tasks: Callable[..., Any]) -> Collection:
    return Collection(*(command(task) for task in tasks))


def invoke(capsys: pytest.CaptureFixture[str], collection: Collection, *argv: str) -> tuple[int, str, str]:
    """Run the program and return its exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as caught:
        run(collection, ["envkit", *argv])
        sys.exit(0)
    captured = capsys.readouterr()
    return int(caught.value.code or 0), captured.out, captured.err
