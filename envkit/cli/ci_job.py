"""Opens a `ci.job.Job` for a command that runs in a CI job or that has one of the options of CI jobs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from envkit.base.ci_platform import PLAIN, platform
from envkit.base.errors import EnvkitError
from envkit.base.registry import CI_SERVICES
from envkit.cli.flags import Flags

if TYPE_CHECKING:
    from envkit.base.errors import EnvironmentFailed
    from envkit.ci.job import Job
    from envkit.ci.platform import Platform


@contextmanager
def in_job(
    flags: Flags, verb: str, title: str = "", *, ci: bool = False, artifacts: str | None = None,
    junit: str | None = None, dotenv: str | None = None,
) -> Iterator[tuple[Flags, Job | None]]:  # fmt: skip
    """Yield the flags and the CI job. The job is None outside a known CI service, unless a report is requested."""
    name = platform(flags.environ, asked=ci)
    files = [Path(one).absolute() if one else None for one in (artifacts, junit, dotenv)]
    if not ci and name in (None, PLAIN) and not any(files):
        yield flags, None
        return
    from envkit.ci.job import Job, Wanted
    from envkit.cli.reporting import show

    flags = replace(flags, ci=ci or name is not None)
    known = _name(flags)
    job = Job(
        speaking(name, flags.environ, as_json=flags.json), verb, known, Wanted(*files),
        show=lambda error: show(error, flags.debug), note=lambda text: _note(text, flags.json),
        gather=lambda error: _gather(flags, error, files[0]),
    )  # fmt: skip
    with job.working(f"{title} {known}".strip() if title else ""):
        yield flags, job


@contextmanager
def folded(flags: Flags, title: str, *, ci: bool = False) -> Iterator[Flags]:
    """Yield the flags, with `ci` set in a CI job.

    If the CI service supports groups, the command's output is one group with this title.
    """
    name = platform(flags.environ, asked=ci)
    flags = replace(flags, ci=ci or name is not None)
    if name in (None, PLAIN):
        yield flags
        return
    with speaking(name, flags.environ, as_json=flags.json).group(f"{title} {_name(flags)}".strip()):
        yield flags


def speaking(name: str | None, environ: Mapping[str, str], *, as_json: bool = False) -> Platform:
    """Return the platform of the CI service, which writes to standard error. With `--json` it writes at most masks."""
    _, module = CI_SERVICES[name or PLAIN]
    made: Platform = import_module(module).platform(environ, say, as_json=as_json)
    return made


def say(text: str) -> None:
    """Write the text to standard error at once. If the reader is gone, do nothing."""
    with suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


def _note(text: str, as_json: bool) -> None:
    say((json.dumps({"event": "note", "message": text}) if as_json else text) + "\n")


def _name(flags: Flags) -> str:
    """Return the environment's name, or "" if the configuration is faulty; opening it later reports the fault."""
    try:
        return flags.paths().name
    except EnvkitError:
        return ""


def _gather(flags: Flags, error: EnvironmentFailed, into: Path | None) -> None:
    """Gather evidence of an `up` that failed before it made anything, for example because a port is in use."""
    from envkit.cli.context import opened_if_possible
    from envkit.operations.gather import of_failed_up

    with suppress(EnvkitError), opened_if_possible(flags) as (target, _):
        gathered = of_failed_up(target.environment, target.paths, target.drivers, target.control, error, into)
        if gathered:
            _note(f"evidence in {gathered.path}", flags.json)
