"""Find faults that involve several values, such as a port used twice or services that need each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from typing import Any

from envkit.config.checks_files import accounts, files
from envkit.config.checks_references import UNPUBLISHED, references
from envkit.config.merge import Keys
from envkit.config.models import Access, Cluster, Environment, Service
from envkit.config.names import RESERVED, did_you_mean
from envkit.config.yamlfile import Finding

CLUSTER = "cluster"
HIGHEST_PORT = 65535


def all_faults(environment: Environment, raw: Mapping[str, Any], known: Mapping[Keys, str]) -> dict[Keys, str]:
    """Return a mapping from paths to further faults; it omits faults that only follow from the `known` faults."""
    named = raw.get("services")
    names = {name for name, service in named.items() if service} if isinstance(named, dict) else set()
    doubtful = {str(keys[1]) for keys in known if keys[0] == "services" and len(keys) > 1}
    found = chain(
        _names(environment),
        _ports(environment),
        _needs(environment, {*names, *environment.services}),
        _probes(environment, doubtful),
        _migrations(environment, {*names, *environment.services}, doubtful),
        _exports(environment),
        _cluster(environment.cluster, known),
        files(environment),
        accounts(environment),
        references(environment, raw, doubtful),
    )
    findings: dict[Keys, str] = {}
    for place, message in found:
        keys = _as_written(place, environment, raw)
        if message not in findings.get(keys, ""):
            findings[keys] = f"{findings[keys]}; {message}" if keys in findings else message
    return findings


def _as_written(keys: Keys, environment: Environment, raw: Mapping[str, Any]) -> Keys:
    """Return the path as the user wrote it: if `files` is a mapping, a file's path replaces its index."""
    match keys:
        case ("services", str(name), "files", int(index), *rest):
            written = raw["services"][name].get("files")
            if isinstance(written, dict):
                return ("services", name, "files", environment.services[name].files[index].path, *rest)
    return keys


def _names(environment: Environment) -> Iterator[Finding]:
    for name in environment.services:
        if name in RESERVED:
            yield (
                ("services", name),
                f"'{name}' has a special meaning in references; choose another name for the service",
            )


def _published(environment: Environment) -> Iterator[tuple[Keys, int]]:
    for name, service in environment.services.items():
        for port_name, port in service.ports.items():
            if isinstance(port.host, int):
                yield ("services", name, "ports", port_name, "host"), port.host
    for index, node_port in enumerate(environment.cluster.ports):
        yield ("cluster", "ports", index, "host"), node_port.host


def _ports(environment: Environment) -> Iterator[Finding]:
    offset = environment.port_offset
    first: dict[int, str] = {}
    for keys, port in _published(environment):
        moved = f"{port} + offset {offset} = {port + offset}" if offset else str(port)
        who = f"{keys[1]}.{keys[3]}" if keys[0] == "services" else "the cluster"
        if port + offset > HIGHEST_PORT:
            yield keys, f"host port {moved} is beyond {HIGHEST_PORT}; choose a smaller offset or port"
        if port in first:
            yield keys, f"host port {moved} is already used by {first[port]}"
        first.setdefault(port, who)


def _needs(environment: Environment, names: set[str]) -> Iterator[Finding]:
    known = {*names, CLUSTER}
    for name, service in environment.services.items():
        for index, need in enumerate(service.needs):
            if need not in known:
                there = ", ".join(sorted(known - {name}))
                message = f"there is no service '{need}'{did_you_mean(need, known) or '.'} There are: {there}"
                yield ("services", name, "needs", index), message
            if need == CLUSTER and not environment.cluster.wanted:
                yield ("services", name, "needs", index), "there is no cluster (cluster: none)"
    yield from _circle(environment.services)


def _circle(services: Mapping[str, Service]) -> Iterator[Finding]:
    try:
        TopologicalSorter({name: service.needs for name, service in services.items()}).prepare()
    except CycleError as error:
        circle = list(reversed(error.args[1]))
        yield ("services", circle[0], "needs"), f"these services need each other: {' -> '.join(circle)}"


def _probes(environment: Environment, doubtful: set[str]) -> Iterator[Finding]:
    for name, service in environment.services.items():
        for key in ("probe", "first_probe"):
            wanted = getattr(getattr(service, key), "port", None)
            if wanted is not None and name not in doubtful:
                yield from _probe_port(("services", name, key, "port"), wanted, service)


def _probe_port(keys: Keys, wanted: str, service: Service) -> Iterator[Finding]:
    ports = service.ports
    name = wanted or next(iter(ports), "")
    if name not in ports:
        known = ", ".join(ports) or "none"
        missing = f"there is no port '{name}'{did_you_mean(name, ports)}" if name else "the probe needs a port"
        yield keys, f"{missing}; the service has: {known}"
    elif ports[name].host is None:
        yield (*keys[:2], "ports", name), UNPUBLISHED


def _migrations(environment: Environment, names: set[str], doubtful: set[str]) -> Iterator[Finding]:
    for name, service in environment.services.items():
        if not service.migrations:
            continue
        keys: Keys = ("services", name, "migrations", "service")
        target = service.migrations.service
        if target not in names:
            yield keys, f"there is no service '{target}'{did_you_mean(target, names)}"
        elif target not in doubtful and not getattr(environment.services[target].probe, "takes_migrations", False):
            yield keys, f"expected a service with a postgres probe, which has the login; {target} has none"
        if target in names and target not in service.needs:
            yield ("services", name, "needs"), f"expected {target} among them, because the migrations change it"


def exported(environment: Environment) -> Iterator[tuple[Keys, str, str]]:
    """Yield the path, the name and the exporter of each exported variable, without the top-level `exports`."""
    for name, service in environment.services.items():
        for variable in service.exports:
            yield ("services", name, "exports", variable), variable, name
    if not environment.cluster.wanted:
        return
    for variable in environment.cluster.exports:
        yield ("cluster", "exports", variable), variable, "the cluster"
    for name, identity in environment.cluster.identities.items():
        if identity.token and identity.token.variable:
            for variable in (identity.token.variable, f"{identity.token.variable}_FILE"):
                yield ("cluster", "identities", name, "token", "variable"), variable, f"identity {name}"


def _exports(environment: Environment) -> Iterator[Finding]:
    first: dict[str, str] = {}
    for keys, variable, who in exported(environment):
        if variable in first:
            yield keys, f"the variable {variable} is exported by {first[variable]} already"
        first.setdefault(variable, who)


def _cluster(cluster: Cluster, known: Mapping[Keys, str]) -> Iterator[Finding]:
    if cluster.type == "existing" and not cluster.kubeconfig and ("cluster", "kubeconfig") not in known:
        yield (
            ("cluster", "kubeconfig"),
            "is missing; expected the existing cluster's file: envkit never uses the default one",
        )
    if cluster.kubernetes and cluster.node_image:
        yield ("cluster", "kubernetes"), "expected kubernetes or node_image, not both: each selects the version"
    nodes: set[int] = set()
    for index, port in enumerate(cluster.ports):
        if port.node in nodes:
            yield ("cluster", "ports", index, "node"), f"port {port.node} of the node is published twice"
        nodes.add(port.node)
    yield from _identities(cluster)


def _identities(cluster: Cluster) -> Iterator[Finding]:
    accounts: dict[tuple[str, str], str] = {}
    roles: dict[str, str] = {}
    for name, identity in cluster.identities.items():
        at: Keys = ("cluster", "identities", name)
        if identity.rules and not identity.role:
            yield (*at, "role"), "is missing; expected a name for the ClusterRole that is made from rules"
        if (identity.can or identity.namespaces) and not (identity.role or identity.rules):
            yield (*at, "role"), "is missing; `can` and `namespaces` need a role that grants something"
        for index, rule in enumerate(identity.rules):
            if not rule.verbs or not rule.resources:
                yield (*at, "rules", index), "expected at least one verb and one resource"
        account = (identity.namespace, identity.account or name)
        if account in accounts:
            yield (*at, "account"), f"{'/'.join(account)} is already the account of identity {accounts[account]}"
        if identity.role and identity.rules:
            maker = roles.setdefault(identity.role, name)
            if cluster.identities[maker].rules != identity.rules:
                yield (
                    (*at, "rules"),
                    f"differ from those of {maker}, which creates the same ClusterRole {identity.role}",
                )
        accounts.setdefault(account, name)
        yield from _questions(at, identity.can, identity.cannot)


def _questions(at: Keys, can: tuple[Access, ...], cannot: tuple[Access, ...]) -> Iterator[Finding]:
    for index, question in enumerate(cannot):
        if question in can:
            yield (*at, "cannot", index), "is also a question of `can`"
