"""`env`: the variables of an environment that is up. Fast: no SDK, no models, the record and a look at the ports."""

from __future__ import annotations

from dataclasses import replace

from envkit import state
from envkit.clusters.tokens import ends_within
from envkit.errors import NotUp
from envkit.paths import Paths
from envkit.ports import accepts

LAST_PART = 0.25
"""Of a token's life: with less than this left it is renewed."""


def read(paths: Paths, up: str) -> state.Record:
    """The record of an environment that is up, tokens renewed where they near their end.

    Raises `NotUp`, with `up` as the command to run, when it is not up or something of it has gone since.
    """
    record = state.read(paths)
    if record is None:
        raise NotUp(f"environment {paths.name} is not up", hint=f"bring it up with `{up}`")
    gone = [f"{name} (port {port})" for name, port in record.ports.items() if not accepts(port)]
    if gone:
        raise NotUp(
            f"environment {paths.name} was up, but does not answer any more: {', '.join(gone)}",
            hint=f"`{up}` repairs it",
        )
    return renewed(record, paths)


def renewed(record: state.Record, paths: Paths) -> state.Record:
    """The record with tokens that will last; it is written back when one was renewed."""
    variables: dict[str, str] = dict(record.variables)
    for token in record.tokens:
        path = paths.tokens / token.identity
        text = path.read_text().strip() if path.exists() else ""
        if text and not ends_within(text, token.seconds * LAST_PART):
            continue
        from envkit.clusters.identities import renew

        text = renew(paths, token)
        if token.variable:
            variables[token.variable] = text
    if variables != dict(record.variables):
        record = replace(record, variables=variables)
        state.write(paths, record)
    return record
