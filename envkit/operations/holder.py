"""The question that every verb asks before it changes anything: is what is there ours?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from envkit.base.errors import HolderError
from envkit.base.owner import Owner, Verdict
from envkit.inventory.session import Session
from envkit.planning.facts import Instance

BESIDE = "run `down` there first, or bring this one up beside it with --name OTHER --port-offset N"


def check_holder(session: Session, found: Iterable[Instance], network: Owner | None, hint: str = BESIDE) -> None:
    """Raise `HolderError` when a service or the network of this name is not ours."""
    for verdict in _verdicts(session, found, network):
        if not verdict.ours:
            raise HolderError(f"environment {session.environment.name} of this machine {verdict.reason}", hint=hint)


def _verdicts(session: Session, found: Iterable[Instance], network: Owner | None) -> Iterator[Verdict]:
    yield from (session.runtime.whose(instance) for instance in found)
    if network:
        yield session.claim.on(network)


def ours(session: Session) -> list[Instance]:
    """The services that are there. Raises `HolderError` when something of the environment is not ours."""
    found = session.runtime.observe(session.environment.name)
    of_cluster = session.environment.cluster.has_nodes
    network = session.networks.owner(session.environment.name) if of_cluster else None
    check_holder(session, found, network, hint="run it there, or use another --name")
    return list(found)
