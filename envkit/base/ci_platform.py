"""Which CI service this is, by the variables that it sets. Every command asks, so this module imports little."""

from __future__ import annotations

from collections.abc import Mapping

from envkit.base.errors import UsageError
from envkit.base.registry import CI_SERVICES

VARIABLE = "ENVKIT_CI"
"""Names the service outright: a name of `base.registry.CI_SERVICES`, or `off`."""

JOB = "ENVKIT_JOB"
"""Tells jobs apart where the service's own variables do not: any text, the same in every step of a job."""

PLAIN = "plain"


def platform(environ: Mapping[str, str], *, asked: bool = False) -> str | None:
    """Return the name of the service whose job this is, or None on a person's own machine.

    It is `plain` for an unknown service, and where `--ci` asks for one. Gitea and Forgejo call themselves GitHub, and
    understand most of its commands. Raises `UsageError`.
    """
    said = environ.get(VARIABLE, "")
    if said == "off":
        return None
    if said:
        if said not in CI_SERVICES:
            raise UsageError(f"{VARIABLE} is one of {', '.join(CI_SERVICES)} or off; found {said!r}")
        return said
    found = next((name for name, (variable, _) in CI_SERVICES.items() if _true(environ.get(variable))), None)
    return found or (PLAIN if asked else None)


def in_job(environ: Mapping[str, str]) -> bool:
    """Return whether these variables may identify a job, see `base.ci_job.identity`. Raises `UsageError`."""
    return platform(environ) is not None or bool(environ.get(JOB))


def _true(value: str | None) -> bool:
    return (value or "").lower() not in ("", "0", "false", "no")
