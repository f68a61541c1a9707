"""Prints errors with what was expected, what was seen and the next step, and returns exit codes."""

from __future__ import annotations

import functools
import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from envkit.base.errors import FAILED, Bug, ConfigError, EnvkitError

BROKEN_PIPE = 141
"""Exit code after a closed pipe: 128 + SIGPIPE, as shells report it."""


def show(error: EnvkitError, debug: bool = False, as_json: bool = False) -> None:
    """Write the error to standard error, as text or as one JSON line; with `debug`, write the traceback first."""
    out = sys.stderr
    out.flush()
    if debug:
        traceback.print_exception(error, file=out)
    if as_json:
        out.write(json.dumps(_row(error)) + "\n")
        out.flush()
        return
    out.write(f"\nerror: {error.message}\n")
    if error.detail:
        out.write("\n" + "\n".join(f"    {line}" for line in error.detail.rstrip().splitlines()) + "\n")
    if error.hint:
        out.write("\n" + "\n".join(f"next: {line}" for line in error.hint.splitlines()) + "\n")
    out.flush()


def _row(error: EnvkitError) -> dict[str, Any]:
    row = {"event": "error", "class": type(error).__name__, "exit_code": error.exit_code, "message": error.message}
    more: dict[str, Any] = {"hint": error.hint, "detail": error.detail, "evidence": error.evidence}
    if isinstance(error, ConfigError):
        more["faults"] = [asdict(fault) for fault in error.faults]
    return row | {name: value for name, value in more.items() if value}


def exit_code_of(call: Callable[[], int | None], debug: bool, as_json: bool = False) -> int:
    """Call a command and return its exit code. Print an error of envkit to standard error."""
    try:
        return call() or 0
    except EnvkitError as error:
        if not error.told:
            show(error, debug, as_json)
        return error.exit_code
    except BrokenPipeError:
        return BROKEN_PIPE
    except Exception as error:  # any other exception is a bug: report it as one, without a traceback
        if debug or type(error).__module__.startswith("invoke."):
            raise
        hint = "run it again with --debug, and please report it"
        show(Bug(f"envkit had an internal error: {error!r}", hint=hint), as_json=as_json)
        return FAILED


def reported(task: Callable[..., int | None]) -> Callable[..., None]:
    """Return a task that does the same and ends with envkit's exit codes, both under `invoke` and under `envkit`."""

    @functools.wraps(task)
    def wrapper(context: Any, *args: Any, **kwargs: Any) -> None:
        code = exit_code_of(lambda: task(context, *args, **kwargs), bool(kwargs.get("debug")), bool(kwargs.get("json")))
        if code:
            from invoke.exceptions import Exit

            raise Exit(code=code)

    return wrapper
