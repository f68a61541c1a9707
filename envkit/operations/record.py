"""Write the record of an environment that is up: a file with its variables, ports and tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from envkit.base.paths import Paths
from envkit.config.models import Environment
from envkit.config.references import Scope, resolve
from envkit.inventory import observe, state
from envkit.inventory.drivers import Drivers
from envkit.inventory.probing import chosen_ports
from envkit.operations import host_access
from envkit.planning import desired as wanted
from envkit.planning import made, plan
from envkit.planning.facts import Instance
from envkit.planning.steps import CLUSTER, Want
from envkit.planning.values import RuntimeValues, placeholder, values

ENVIRONMENT = "ENVKIT_ENVIRONMENT"
"""The variable with the environment's name. A test suite can compare it with the marker that envkit puts into Redis."""


@dataclass(frozen=True)
class Provenance:
    """The options, CI job and time limit of an `up`. They are written into the record."""

    asked: Mapping[str, str] = field(default_factory=dict)
    """The options that selected the environment, as `config.request.Request.asked` returns them."""
    job: str = ""
    """The CI job for which the environment is made, or an empty string."""
    expires: float = 0.0
    """The time in seconds since 1970 after which `prune` removes the environment; 0 keeps an earlier value."""


def write_record(
    environment: Environment,
    paths: Paths,
    drivers: Drivers,
    instances: Mapping[str, Instance],
    done: Mapping[str, str],
    selected: frozenset[str] = frozenset(),
    provenance: Provenance | None = None,
    *,
    fresh: bool = False,
    wants: Mapping[str, Want] | None = None,
) -> state.Record:
    """Write the record of what is up now, for `env` and for the next `up`, and return it.

    `selected` are the services that this `up` had to bring up; a command that brings up nothing leaves it empty.
    `fresh` means that nothing of the environment existed before. `wants` are the inputs of an `up`; other commands
    leave it None.
    """
    provenance = provenance or Provenance()
    ports = chosen_ports(environment, instances)
    before = state.read(paths)
    chosen, parts = _selected(environment, drivers, instances, selected, None if fresh else before)
    record = state.Record(
        name=environment.name,
        root=environment.checkout,
        owner=drivers.claim.owner,
        files=environment.files,
        engine=drivers.engine,
        engine_url=drivers.engine_url,
        lane=drivers.lane,
        port_offset=environment.port_offset,
        variables=variables(environment, paths, drivers, ports),
        ports=ports | _api_port(environment, paths),
        done=done,
        tokens=tuple(_renewals(environment, paths)),
        expires=provenance.expires or (before.expires if before else 0.0),
        carried=tuple(_carried(environment, paths, drivers, ports)),
        job=provenance.job or (before.job if before else ""),
        selected=chosen,
        offset_chosen=environment.offset_auto or bool(before and before.offset_chosen),
        parts=parts,
        **_origin(environment, paths, provenance, instances, wants, before),
    )
    state.write(paths, record)
    return record


def _selected(
    environment: Environment,
    drivers: Drivers,
    instances: Mapping[str, Instance],
    selected: frozenset[str],
    before: state.Record | None,
) -> tuple[tuple[str, ...], int]:
    """Return the names of the selected services, including earlier selections, and the number of all services.

    Both are empty (`()` and 0) if everything is selected.
    """
    everything = plan.select(environment, ())
    if (before and not before.selected) or selected >= everything:
        return (), 0
    chosen = (selected | set(before.selected if before else ())) & everything
    absent = observe.left_out(environment, drivers, instances)
    if not chosen or chosen >= everything - set(absent):
        return (), 0
    return tuple(sorted(chosen - set(absent))), len(everything - set(absent))


def _origin(
    environment: Environment,
    paths: Paths,
    provenance: Provenance,
    instances: Mapping[str, Instance],
    wants: Mapping[str, Want] | None,
    before: state.Record | None,
) -> dict[str, Any]:
    """Return the record's fields `asked` and `made`. Without `wants` both stay as they are in the earlier record."""
    known = before.made if before else {}
    if wants is None:
        return {"asked": before.asked if before else {}, "made": known}
    there = made.of_services(environment, wants, instances, known)
    if environment.cluster.wanted and paths.kubeconfig.exists():
        there[CLUSTER] = made.of_cluster(wanted.resolved_cluster(environment), environment.port_offset, known)
    return {"asked": provenance.asked, "made": there}


def _api_port(environment: Environment, paths: Paths) -> dict[str, int]:
    """Return the port of the API server on this host under the name `cluster.api`, or {} without an API server.

    `env` checks that this port accepts connections, as it checks the ports of services.
    """
    from envkit.base import kubeconfig

    if not environment.cluster.wanted or not paths.kubeconfig.exists():
        return {}
    port = urlsplit(kubeconfig.read(paths.kubeconfig).server).port
    return {"cluster.api": port} if port else {}


def variables(environment: Environment, paths: Paths, drivers: Drivers, ports: Mapping[str, int]) -> dict[str, str]:
    """Return all exported variables of the environment, with references resolved for this host.

    A service that is not up (after `up SERVICE...`) exports nothing. Variables of a cluster that is not up are missing.
    """
    addressing = wanted.published(environment, ports)
    known = values(environment, addressing, RuntimeValues(paths, host=drivers.this_host))
    there = {port.partition(".")[0] for port in ports}
    found = {ENVIRONMENT: environment.name} | host_access.variables(environment, paths, drivers)
    for name, service in environment.services.items():
        if name in there or not service.ports:
            scope = Scope(environment, addressing, name, known)
            found |= {key: resolve(value, scope) for key, value in service.exports.items()}
    scope = Scope(environment, addressing, "", known)
    if environment.cluster.wanted and paths.kubeconfig.exists():
        found |= {key: resolve(value, scope) for key, value in environment.cluster.exports.items()}
        found |= _tokens(environment, paths)
    return found | {key: resolve(value, scope) for key, value in environment.exports.items()}


def _tokens(environment: Environment, paths: Paths) -> dict[str, str]:
    found = {}
    for name, identity in environment.cluster.identities.items():
        path = paths.tokens / name
        if identity.token and identity.token.variable and path.exists():
            found[identity.token.variable] = path.read_text().strip()
            found[f"{identity.token.variable}_FILE"] = str(path)
    return found


def _renewals(environment: Environment, paths: Paths) -> Iterator[state.Renewal]:
    if not paths.kubeconfig.exists():
        return  # for example after `up SERVICE...`: there is no API server that could issue tokens
    for name, identity in environment.cluster.identities.items():
        token = identity.token
        if token:
            account = identity.account or name
            yield state.Renewal(name, identity.namespace, account, token.seconds, token.audiences, token.variable or "")


def _carried(
    environment: Environment, paths: Paths, drivers: Drivers, ports: Mapping[str, int]
) -> Iterator[state.Carried]:
    """Yield each file of a service that contains tokens, with a placeholder in place of each token."""
    there = {port.partition(".")[0] for port in ports}
    for name, service in environment.services.items():
        if service.once or not service.files or (service.ports and name not in there):
            continue
        for file in wanted.resolve_for_container(environment, name, paths, tokens=False, host=drivers.this_host).files:
            text = file.content or ""
            used = tuple(one for one in environment.cluster.identities if placeholder(one) in text)
            if used:
                yield state.Carried(name, file.path, text, used)
