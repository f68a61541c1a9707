"""Which job this is: its environment's name, ports and lease come from that. Imports little: every verb asks.

Two jobs of one runner, at once or one after the other, have different identities; the steps of one job have the same.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from envkit.base.ci_platform import JOB, platform

LONGEST = 40
"""Letters of an environment's name, see `config.names.NAME`."""

LEASE = 6 * 3600.0
"""Seconds. GitHub ends a job after 6 hours unless it says otherwise."""

AFTER = 600.0
"""Seconds beyond GitLab's limit of a job, for its `after_script`."""

OF_GITHUB = (
    "GITHUB_SERVER_URL",
    "GITHUB_REPOSITORY",
    "GITHUB_RUN_ID",
    "GITHUB_RUN_ATTEMPT",
    "GITHUB_JOB",
    "RUNNER_NAME",
)
OF_GITLAB = ("CI_SERVER_URL", "CI_PROJECT_PATH", "CI_JOB_ID")

TRACKING = "RUNNER_TRACKING_ID"
"""GitHub's runner gives each job, of a matrix too, a new `github_GUID`; a step may set it to something else."""


@dataclass(frozen=True)
class Identity:
    """One job of a CI service: the number that people look for, all that tells it from others, and its time limit."""

    service: str
    number: str
    parts: tuple[str, ...]
    limit: float = LEASE

    @property
    def suffix(self) -> str:
        """`9876543210-3f9a1c`: the job's number, and six characters of everything that makes it unique."""
        import hashlib  # 4 ms, which every command outside CI would wait for

        mark = hashlib.sha256("\0".join(self.parts).encode()).hexdigest()[:6]
        number = re.sub(r"[^a-z0-9]+", "-", self.number.lower()).strip("-")[:20].strip("-")
        return f"{number}-{mark}" if number else f"job-{mark}"

    def name(self, base: str) -> str:
        """The name of this job's environment; `base` is cut where both together would be too long."""
        return f"{base[: LONGEST - 1 - len(self.suffix)].rstrip('-')}-{self.suffix}"

    def __str__(self) -> str:
        return f"{self.service} job {self.number}" if self.number else f"job {self.suffix}"


@dataclass(frozen=True)
class Lease:
    """How long an environment is wanted: seconds since 1970, 0 for no end; and by which job, empty for none."""

    expires: float = 0.0
    job: str = ""


def identity(environ: Mapping[str, str]) -> Identity | None:
    """The job that these variables tell of; None outside CI, and where they tell no job apart. Raises `UsageError`."""
    service = platform(environ)
    said = environ.get(JOB, "")
    if service == "github" and environ.get("GITHUB_RUN_ID"):
        tracked = environ.get(TRACKING, "")
        parts = [environ.get(one, "") for one in OF_GITHUB] + [tracked if tracked.startswith("github_") else "", said]
        return Identity("github", environ["GITHUB_RUN_ID"], tuple(parts))
    if service == "gitlab" and environ.get("CI_JOB_ID"):
        parts = [environ.get(one, "") for one in OF_GITLAB] + [said]
        return Identity("gitlab", environ["CI_JOB_ID"], tuple(parts), _limit(environ.get("CI_JOB_TIMEOUT", "")))
    if said and environ.get("ENVKIT_CI") != "off":
        return Identity("ci", said, (said,))
    return None


def _limit(seconds: str) -> float:
    """GitLab's limit of the job, and the time after it in which it still tidies up."""
    return float(seconds) + AFTER if seconds.isdecimal() and int(seconds) else LEASE


def lease(environ: Mapping[str, str], name: str | None, ends: float) -> Lease:
    """The lease of an environment that is brought up now: `ends` if the user said so, else the job's time limit.

    `name` is what the user called it. What has a name of the user's own belongs to no job, and lasts until `down`.
    """
    job = identity(environ)
    if job is None or name:
        return Lease(ends)
    return Lease(ends or time.time() + job.limit, str(job))
