"""Errors as people read them: what was expected and seen, the evidence, what to do next; and the exit code."""

from __future__ import annotations

import functools
import sys
import traceback
from collections.abc import Callable
from typing import Any

from envkit.errors import FAILED, Bug, EnvkitError


def show(error: EnvkitError, debug: bool = False) -> None:
    """Write the error to stderr; the traceback only with `--debug`."""
    out = sys.stderr
    out.flush()
    if debug:
        traceback.print_exception(error, file=out)
    out.write(f"\nerror: {error.message}\n")
    if error.detail:
        out.write("\n" + "\n".join(f"    {line}" for line in error.detail.rstrip().splitlines()) + "\n")
    if error.hint:
        out.write("\n" + "\n".join(f"next: {line}" for line in error.hint.splitlines()) + "\n")
    out.flush()


def reported(task: Callable[..., int | None]) -> Callable[..., None]:
    """A task that ends with envkit's exit codes, under `invoke` as under `envkit`."""

    @functools.wraps(task)
    def wrapper(context: Any, *args: Any, **kwargs: Any) -> None:
        from invoke.exceptions import Exit, Failure, UnexpectedExit

        invoke_errors = (Exit, Failure, UnexpectedExit)

        try:
            code = task(context, *args, **kwargs) or 0
        except EnvkitError as error:
            show(error, debug=bool(kwargs.get("debug")))
            code = error.exit_code
        except BrokenPipeError:
            code = 141
        except invoke_errors:
            raise
        except Exception as error:  # the last line of defence: a bug is told as one, without a traceback
            if kwargs.get("debug"):
                raise
            show(
                Bug(
                    f"envkit met an error of its own: {error!r}", hint="run it again with --debug, and please report it"
                )
            )
            code = FAILED
        if code:
            raise Exit(code=code)

    return wrapper
