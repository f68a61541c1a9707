"""Identify the CI job that envkit runs in. The job determines the environment's name, ports and lease.

Two jobs on one runner, in parallel or in sequence, have different identities. All steps of one job have the same
identity. Every command imports this module, so it imports few others.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

from envkit.base.ci_platform import JOB, VARIABLE, platform
from envkit.base.registry import CI_SERVICES

LONGEST = 40
"""Maximum length of an environment's name in characters, see `config.names.NAME`."""

LEASE = 6 * 3600.0
"""Default time limit of a job, in seconds. GitHub ends a job after 6 hours unless the workflow sets another limit."""


@dataclass(frozen=True)
class Identity:
    """One job of a CI service: the number that people search for, the parts that make it unique, and its time limit."""

    service: str
    number: str
    parts: tuple[str, ...]
    limit: float = LEASE

    @property
    def suffix(self) -> str:
        """The job's number, or `job` without a number, and six characters of a hash of `parts`: `9876543210-3f9a1c`."""
        import hashlib  # imported here because it takes 4 ms, and commands outside CI do not need it

        mark = hashlib.sha256("\0".join(self.parts).encode()).hexdigest()[:6]
        number = re.sub(r"[^a-z0-9]+", "-", self.number.lower()).strip("-")[:20].strip("-")
        return f"{number}-{mark}" if number else f"job-{mark}"

    def name(self, base: str) -> str:
        """Return the name of this job's environment: `base`, shortened if necessary, and the suffix."""
        return f"{base[: LONGEST - 1 - len(self.suffix)].rstrip('-')}-{self.suffix}"

    def __str__(self) -> str:
        return f"{self.service} job {self.number}" if self.number else f"job {self.suffix}"


@dataclass(frozen=True)
class Lease:
    """The time at which an environment expires, and the CI job that owns the environment.

    `expires` is in seconds since 1970, or 0 if the environment never expires. `job` is empty if no job owns the
    environment.
    """

    expires: float = 0.0
    job: str = ""


def identity(environ: Mapping[str, str]) -> Identity | None:
    """Return the job that these variables identify, or None if they identify no job. Raises `UsageError`.

    `ENVKIT_JOB` alone identifies a job of a CI service that envkit does not support, unless `ENVKIT_CI` is `off`.
    """
    service, said = platform(environ), environ.get(JOB, "")
    if service:
        _, name = CI_SERVICES[service]
        found: Identity | None = import_module(name).identity(environ, said)
        if found:
            return found
    return Identity("ci", said, (said,)) if said and environ.get(VARIABLE) != "off" else None


def lease(environ: Mapping[str, str], name: str | None, ends: float) -> Lease:
    """Return the lease of an environment that starts now.

    The lease expires at `ends`. If `ends` is 0, it expires when the time limit of the CI job is over, or never if no
    job owns the environment. No job owns an environment outside CI or one with `name`, which the user chose.
    """
    job = identity(environ)
    if job is None or name:
        return Lease(ends)
    return Lease(ends or time.time() + job.limit, str(job))
