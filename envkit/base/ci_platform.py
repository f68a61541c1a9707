"""Which CI service this is, told by the variables that it sets. Imports nothing: asked at every `up`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast, get_args

from envkit.base.errors import UsageError

Name = Literal["github", "gitlab", "plain"]

VARIABLE = "ENVKIT_CI"
"""Says it outright: one of `Name`, or `off`."""

JOB = "ENVKIT_JOB"
"""Tells jobs apart where the service's own variables do not: any text, the same in every step of a job."""


def platform(environ: Mapping[str, str], *, asked: bool = False) -> Name | None:
    """Whose job this is; `plain` for any other CI, and where `--ci` asks for it; None on somebody's own machine.

    Gitea and Forgejo call themselves GitHub, and understand most of its language. Raises `UsageError`.
    """
    said = environ.get(VARIABLE, "")
    if said == "off":
        return None
    if said:
        if said not in get_args(Name):
            raise UsageError(f"{VARIABLE} is one of {', '.join(get_args(Name))} or off; found {said!r}")
        return cast("Name", said)
    if _true(environ.get("GITHUB_ACTIONS")):
        return "github"
    if _true(environ.get("GITLAB_CI")):
        return "gitlab"
    return "plain" if asked or _true(environ.get("CI")) else None


def in_job(environ: Mapping[str, str]) -> bool:
    """Whether these variables may tell of a job, see `identity`. Raises `UsageError`."""
    return platform(environ) is not None or bool(environ.get(JOB))


def _true(value: str | None) -> bool:
    return (value or "").lower() not in ("", "0", "false", "no")
