"""Renew tokens that expire soon: request a new token, write it into services' files, then into the token's own file.

If a service's file cannot be written, the token's own file stays old, and the next command tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING

from envkit.base import labels
from envkit.base.owner import Claim, claim
from envkit.base.paths import Paths
from envkit.base.registry import CONTAINERS, LANES, PROCESSES
from envkit.drivers.clusters.tokens import ends_within
from envkit.inventory import state

if TYPE_CHECKING:
    from envkit.drivers.runtimes.base import Renewing

LAST_PART = 0.25
"""Fraction of a token's lifetime. A token is renewed if less than this fraction of its lifetime is left."""

Opened = Callable[[], "AbstractContextManager[Renewing]"]
"""A function that opens the services' runtime. It is called only if a service's file contains a token to replace."""


def renew_tokens(record: state.Record, paths: Paths, runtime: Opened) -> state.Record:
    """Renew each token that is missing or expires soon; return the record with the new values.

    The record is written if a variable changed.
    """
    variables: dict[str, str] = dict(record.variables)
    for token in record.tokens:
        path = paths.tokens / token.identity
        text = path.read_text().strip() if path.exists() else ""
        if text and not ends_within(text, token.seconds * LAST_PART):
            continue
        from envkit.drivers.clusters.identities import renew

        text = renew(paths, token, lambda new, one=token.identity: rewrite_files(record, paths, runtime, {one: new}))  # type: ignore[misc]  # a lambda with a default
        if token.variable:
            variables[token.variable] = text
    if variables != dict(record.variables):
        record = replace(record, variables=variables)
        state.write(paths, record)
    return record


def renew_tokens_from_host(record: state.Record, paths: Paths, environ: Mapping[str, str]) -> state.Record:
    """Do the same as `renew_tokens`, for a caller that has no open runtime."""
    return renew_tokens(record, paths, lambda: at_hand(record, paths, environ))


def rewrite_files(
    record: state.Record, paths: Paths, runtime: Opened, new: Mapping[str, str], but: Collection[str] = ()
) -> list[str]:
    """Write the new tokens into each file of a service that contains one of them; return the files that changed.

    `new` maps identities to tokens. Services in `but` are skipped.
    """
    due = [one for one in record.carried if new.keys() & set(one.identities) and one.service not in but]
    if not due:
        return []
    changed = []
    with runtime() as place:
        for one in due:
            name = labels.resource_name(record.name, one.service)
            if place.rewrite(name, one.path, _filled(one, paths, new).encode()):
                changed.append(f"{one.service}:{one.path}")
    return changed


def _filled(one: state.Carried, paths: Paths, new: Mapping[str, str]) -> str:
    from envkit.planning.values import placeholder

    text = one.content
    for identity in one.identities:
        path = paths.tokens / identity
        token = new.get(identity) or (path.read_text() if path.exists() else "")
        text = text.replace(placeholder(identity), token)
    return text


def _claim(record: state.Record, paths: Paths) -> Claim:
    """Return the claim with which this user and state directory change the environment of the record."""
    held = record.held_by
    return claim(paths.home, held.checkout or "", record.root, held)


def at_hand(record: state.Record, paths: Paths, environ: Mapping[str, str]) -> AbstractContextManager[Renewing]:
    """Return a context manager that opens the runtime in which the record's environment runs."""
    from envkit.drivers.runtimes.base import runtime_kind
    from envkit.drivers.runtimes.sites import Recorded

    usual = CONTAINERS if record.engine else PROCESSES  # the record of an earlier version names no lane
    kind = runtime_kind(LANES[record.lane].runtime if record.lane in LANES else usual)
    return kind.reopen(Recorded(record.engine, record.engine_url, paths, _claim(record, paths), environ))
