"""Sets the lease (job and end of lifetime) of an environment, and removes environments that earlier CI jobs left."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from envkit.base.ci_job import Lease, identity, lease
from envkit.base.errors import EnvkitError
from envkit.base.paths import state_home
from envkit.cli.flags import Flags
from envkit.cli.output import expiry

if TYPE_CHECKING:
    from envkit.operations.list import Found

VARIABLE = "ENVKIT_TTL"


def lease_of(flags: Flags, ttl: str | None) -> Lease:
    """Return the lease from `--ttl` or `ENVKIT_TTL`; without both, a CI job gets its default lease."""
    ends = expiry(ttl, "--ttl") or expiry(flags.environ.get(VARIABLE) or None, VARIABLE)
    return lease(flags.environ, None if _named_by_job(flags) else flags.paths().name, ends)


def _named_by_job(flags: Flags) -> bool:
    """Return whether the environment's name comes from the job, and not from the user."""
    from envkit.config.sources import named_by_job

    return identity(flags.environ) is not None and named_by_job(flags.request())


def remove_expired(flags: Flags) -> None:
    """In a CI job, remove the expired environments that earlier jobs of this user left.

    Print each removal with its reason. An environment that a `run` uses or another envkit changes stays. An error is
    printed and does not stop this job, because the job does not need the removal.
    """
    if identity(flags.environ) is None:
        return
    from envkit.operations.list import find_environments
    from envkit.operations.prune import expired

    own = flags.paths().name
    try:
        found = find_environments(state_home(dict(flags.environ)), dict(flags.environ)).environments
        if expired(found, own):
            _clear(flags, own)
    except EnvkitError as error:
        sys.stderr.write(f"cannot look for environments of earlier jobs: {error.message}\n")


def _clear(flags: Flags, own: str) -> None:
    from envkit.cli.context import opened_machine
    from envkit.operations.list import find_environments
    from envkit.operations.prune import choose, expired, prune

    home = state_home(dict(flags.environ))
    with opened_machine(flags) as (stream, cancel, environ):
        over = expired(find_environments(home, environ).environments, own)
        doomed = {one.found.name: one for one in choose(over)}
        for found in over:
            if found.name not in doomed:
                stream.note(f"the lease of environment {found.name} ({found.job}) is over, but it stays: {_why(found)}")
        for one in doomed.values():
            stream.note(f"removing environment {one.found.name} ({one.found.job}): {one.reason}")
        for done in prune(doomed.values(), home, environ, stream, cancel):
            if done.problem:
                stream.note(f"environment {done.name} stays: {done.problem}")


def _why(found: Found) -> str:
    if found.running:
        return f"it is used by {found.running}"
    if found.state == "busy":
        return "another envkit works on it"
    return found.unseen or "it belongs to another user"
