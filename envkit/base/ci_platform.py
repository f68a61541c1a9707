"""Detect the CI service from its variables. Every command imports this module, so it imports few others."""

from __future__ import annotations

from collections.abc import Mapping

from envkit.base.errors import UsageError
from envkit.base.registry import CI_SERVICES

VARIABLE = "ENVKIT_CI"
"""Variable that selects the service: a name from `base.registry.CI_SERVICES`, or `off`."""

JOB = "ENVKIT_JOB"
"""Variable that identifies a job if the service's own variables do not: the same text in every step of a job."""

PLAIN = "plain"


def platform(environ: Mapping[str, str], *, asked: bool = False) -> str | None:
    """Return the name of the CI service that runs this process, or None outside CI.

    `asked` means that the user gave `--ci`: the result outside CI is then `plain`. The result is also `plain` for an
    unknown service that sets `CI`, and always None if `ENVKIT_CI` is `off`. Gitea and Forgejo set GitHub's variables
    and support most of GitHub's workflow commands. Raises `UsageError` if `ENVKIT_CI` names an unknown service.
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
    """Return whether these variables can identify a job, see `base.ci_job.identity`. Raises `UsageError`."""
    return platform(environ) is not None or bool(environ.get(JOB))


def _true(value: str | None) -> bool:
    return (value or "").lower() not in ("", "0", "false", "no")
