"""Which job this is: its environment's name, ports and lease come from that. Imports little: every verb asks.

Two jobs of one runner, at once or one after the other, have different identities; the steps of one job have the same.
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
"""Letters of an environment's name, see `config.names.NAME`."""

LEASE = 6 * 3600.0
"""Seconds. GitHub ends a job after 6 hours unless it says otherwise."""


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
    """Return the job that these variables identify; None outside CI, and where they identify none. Raises `UsageError`.

    `ENVKIT_JOB` alone identifies a job of a service that envkit does not know.
    """
    service, said = platform(environ), environ.get(JOB, "")
    if service:
        _, name = CI_SERVICES[service]
        found: Identity | None = import_module(name).identity(environ, said)
        if found:
            return found
    return Identity("ci", said, (said,)) if said and environ.get(VARIABLE) != "off" else None


def lease(environ: Mapping[str, str], name: str | None, ends: float) -> Lease:
    """The lease of an environment that is brought up now: `ends` if the user said so, else the job's time limit.

    `name` is what the user called it. What has a name of the user's own belongs to no job, and lasts until `down`.
    """
    job = identity(environ)
    if job is None or name:
        return Lease(ends)
    return Lease(ends or time.time() + job.limit, str(job))
