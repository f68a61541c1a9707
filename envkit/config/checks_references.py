"""Check that every reference can be resolved, and that it is in a field that allows references."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from envkit.config.merge import Keys, leaves
from envkit.config.models import Environment, Service
from envkit.config.references import LOCALHOST, Addressing, Inside, Scope, names_in, port_of, problems, value_names
from envkit.config.yamlfile import Finding

UNPUBLISHED = "expected a host port, or auto: a probe or an exported variable reaches this port from the host"

RESOLVED_IN_SERVICE = frozenset(
    {"env", "command", "entrypoint", "host_command", "exports", "probe", "first_probe", "options", "process"}
)


def references(environment: Environment, raw: Mapping[str, Any], doubtful: set[str]) -> Iterator[Finding]:
    """Yield a finding for each reference that cannot be resolved or is in the wrong field.

    `doubtful` services have faults already. Their references, and references to them, are not checked until the user
    corrects those faults.
    """
    values = dict.fromkeys(value_names(environment), "")
    published = _FromHost(environment)
    for name, service in environment.services.items():
        inside: Addressing = Inside(environment) if service.in_container else published
        yield from _texts(_of_service(name, service), Scope(environment, inside, name, values), doubtful)
        seen_from_host = Scope(environment, published, name, values)
        yield from _texts(_mapping(("services", name, "exports"), service.exports), seen_from_host, doubtful)
    outside = Scope(environment, published, "", values)
    if environment.cluster.wanted:
        yield from _texts(_mapping(("cluster", "exports"), environment.cluster.exports), outside, doubtful)
    yield from _texts(_mapping(("exports",), environment.exports), outside, doubtful)
    yield from published.findings
    yield from _misplaced(raw)


@dataclass
class _FromHost:
    """Addressing from the host, like `Published`, for checks before `auto` ports have numbers.

    `port` returns 1 for every port, because the checks do not use the number.
    `findings` collects the unpublished ports that references use.
    """

    environment: Environment
    findings: list[Finding] = field(default_factory=list)

    def host(self, _service: str) -> str:
        return LOCALHOST

    def port(self, service: str, port_name: str) -> int:
        if port_of(self.environment, service, port_name).host is None:
            self.findings.append((("services", service, "ports", port_name), UNPUBLISHED))
        return 1

    def place(self, service: str, what: str) -> str:
        return Inside(self.environment).place(service, what)


def _of_service(name: str, service: Service) -> Iterator[tuple[Keys, str]]:
    at: Keys = ("services", name)
    yield from _mapping((*at, "env"), service.env)
    for key in ("command", "entrypoint", "host_command"):
        for index, word in enumerate(getattr(service, key) or ()):
            yield (*at, key, index), word
    if service.process:
        yield from _mapping((*at, "process", "env"), service.process.env)
        for index, word in enumerate(service.process.command):
            yield (*at, "process", "command", index), word
    for index, file in enumerate(service.files):
        if file.content is not None:
            yield (*at, "files", index, "content"), file.content
        for keys, value in leaves(file.set):
            if isinstance(value, str):
                yield (*at, "files", index, "set", *keys), value
    for key in ("probe", "first_probe"):
        probe = getattr(service, key)
        for keys, value in leaves(probe.model_dump() if probe else {}):
            if isinstance(value, str):
                yield (*at, key, *keys), value


def _mapping(at: Keys, texts: Mapping[str, str]) -> Iterator[tuple[Keys, str]]:
    for key, text in texts.items():
        yield (*at, key), text


def _texts(texts: Iterator[tuple[Keys, str]], scope: Scope, doubtful: set[str]) -> Iterator[Finding]:
    for keys, text in texts:
        heads = {name.partition(".")[0] for name in names_in(text)}
        if not doubtful & {scope.self_name if head == "self" else head for head in heads}:
            for problem in problems(text, scope):
                yield keys, problem


def _misplaced(raw: Mapping[str, Any]) -> Iterator[Finding]:
    for keys, text in leaves(dict(raw)):
        if isinstance(text, str) and names_in(text) and not _resolved(keys):
            yield (
                keys,
                f"${{{names_in(text)[0]}}} is a reference, and none is resolved here; write $${{...}} for plain text",
            )


def _resolved(keys: Keys) -> bool:
    match keys:
        case ("exports", *_) | ("cluster", "exports", *_):
            return True
        case ("services", _, "files", _, "content") | ("services", _, "files", _, "set", *_):
            return True
        case ("services", _, word, *_):
            return word in RESOLVED_IN_SERVICE
    return False
