"""Resolve references such as `${postgres.host}`; the result depends on the place of use (host, process, container).

    ${NAME.host} ${NAME.port} ${NAME.address}    host and number of the service's first port; address is host:port
    ${NAME.ports.PORT}                           number of the port with that name
    ${NAME.env.VAR} ${NAME.exports.VAR}          variable of a service; its own references are resolved for this place
    ${NAME.password}                             password of the service's probe, empty if the probe has none
    ${NAME.listen} ${NAME.root} ${NAME.data}     address to bind, folder of the service's files, folder for its data
    ${self...}                                   the service that the text belongs to
    ${env.name} ${env.root} ${env.ca_file}       the environment's name, its folder, and the file with its CA
    ${host.address} ${host.listen}               address of this host for services; address to bind for their calls
    ${cluster.name} ${cluster.kubeconfig}        the cluster's name; the path of the admin kubeconfig on the host
    ${cluster.server} .host .port .ca            the API server's URL, host and port for this place; text of its CA
    ${identity.NAME.token} ${identity.NAME.token_file} ${secret.NAME}

A name may end with a filter, as in `${self.env.POSTGRES_PASSWORD|url}`: `|url` percent-encodes, `|base64` encodes, and
`|quoted` adds double quotes. `config.interpolate` defines the grammar.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from envkit.base.errors import EnvironmentFailed
from envkit.config.interpolate import REFERENCE
from envkit.config.names import did_you_mean

if TYPE_CHECKING:
    from envkit.config.models import Environment, Port

LOCALHOST = "127.0.0.1"
"""Address of this host. The name `localhost` often resolves to ::1 first, but ports are published on IPv4 only."""


def _quoted(text: str) -> str:
    """Return the text in double quotes, with the escapes of JSON, Redis and most configuration files."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


FILTERS: Mapping[str, Callable[[str], str]] = {
    "url": lambda text: quote(text, safe=""),
    "quoted": _quoted,
    "base64": lambda text: b64encode(text.encode()).decode(),
}

DEEPEST = 30
"""Maximum length of a chain of variables that refer to one another."""

LONGEST = 4 << 20
"""Maximum length, in characters, of a text after its references are resolved."""

FORMS = ("host", "port", "address", "ports.PORT", "env.VAR", "exports.VAR", "password", "listen", "root", "data")


class UnresolvedReference(EnvironmentFailed):
    """A reference that cannot be resolved.

    Loading reports all of them, except references to ports and tokens that do not exist yet.
    """


class Addressing(Protocol):
    """The addresses of services for one place of use: the host, a process, or a container."""

    def host(self, service: str) -> str:
        """Return the host name or IP address of the service."""

    def port(self, service: str, port_name: str) -> int:
        """Return the port number to connect to."""

    def place(self, service: str, what: str) -> str:
        """Return the address to bind (`listen`) or a folder (`root`, `data`) of the service."""


@dataclass(frozen=True)
class Published:
    """Addressing for the host: 127.0.0.1 and published ports. `auto_ports` maps `SERVICE.PORT` to assigned numbers."""

    environment: Environment
    auto_ports: Mapping[str, int] = field(default_factory=dict)

    def host(self, _service: str) -> str:
        """Return 127.0.0.1 for every service."""
        return LOCALHOST

    def port(self, service: str, port_name: str) -> int:
        """Return the host port, with the offset added.

        Raises `UnresolvedReference` if the port is not published, or is `auto` and has no number yet.
        """
        host = port_of(self.environment, service, port_name).host
        if host is None:
            how = f"set services.{service}.ports.{port_name} to a host port, or to auto"
            raise UnresolvedReference(f"port {port_name} of {service} is not published; {how}")
        if host != "auto":
            return host + self.environment.port_offset
        if f"{service}.{port_name}" not in self.auto_ports:
            raise UnresolvedReference(f"port {port_name} of {service} has no number yet")
        return self.auto_ports[f"{service}.{port_name}"]

    def place(self, service: str, what: str) -> str:
        """Return 127.0.0.1 for `listen`. Raises `UnresolvedReference` for folders, which are inside the service."""
        if what == "listen":
            return LOCALHOST
        raise UnresolvedReference(f"the {what} folder of {service} exists only inside the service")


@dataclass(frozen=True)
class AsProcess(Published):
    """Addressing for a service that runs as a process: the host's addresses, and folders below `home`."""

    home: Path = Path()

    def place(self, service: str, what: str) -> str:
        """Return 127.0.0.1 for `listen`, else the service's folder below `home`."""
        return LOCALHOST if what == "listen" else str(self.home / service / what)


@dataclass(frozen=True)
class Inside:
    """Addressing inside the environment's network: the service's name and the container's port."""

    environment: Environment

    def host(self, service: str) -> str:
        """Return the service's name; the network resolves it."""
        return service

    def port(self, service: str, port_name: str) -> int:
        """Return the container's port."""
        return port_of(self.environment, service, port_name).container

    def place(self, _service: str, what: str) -> str:
        """Return 0.0.0.0 for `listen`, an empty prefix for `root`, and /data for `data`."""
        return {"listen": "0.0.0.0", "root": "", "data": "/data"}[what]  # noqa: S104  published on 127.0.0.1 only


def port_of(environment: Environment, service: str, port_name: str) -> Port:
    """Return the service's port of that name. Raises `UnresolvedReference` if the service has no such port."""
    ports = environment.services[service].ports
    if port_name not in ports:
        known = ", ".join(ports) or "none"
        raise UnresolvedReference(f"{service} has no port {port_name}{did_you_mean(port_name, ports)}; it has: {known}")
    return ports[port_name]


@dataclass(frozen=True)
class Scope:
    """The context for resolving references: the environment, the addressing, and the service that `self` means.

    `values` maps full names (`cluster.kubeconfig`) to all values that do not come from a service.
    """

    environment: Environment
    addressing: Addressing
    self_name: str = ""
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    _within: tuple[str, ...] = ()
    _found: dict[str, str] = field(default_factory=dict, repr=False)
    """Variables that this call has resolved already.

    Without this cache, forty variables with two references each would take a million years.
    """


def names_in(text: str) -> tuple[str, ...]:
    """Return the names of the references in the text, for example `redis.port`, without duplicates."""
    return tuple(dict.fromkeys(found[2] for found in REFERENCE.finditer(text) if len(found[1]) % 2))


def resolve(text: str, scope: Scope) -> str:
    """Return the text with every reference resolved. Raises `UnresolvedReference` for the first that fails."""
    if "$" not in text:
        return text
    if not scope._within:
        scope = replace(scope, _found={})  # a token can change before the next call
    size = len(text)

    def one(found: Any) -> str:
        nonlocal size
        dollars, name, filtered = found.groups()
        literal = "$" * (len(dollars) // 2)
        if len(dollars) % 2 == 0:
            return literal + str(found[0]).lstrip("$")
        value = _filter(filtered)(_value(name, scope))
        size += len(value)
        if size > LONGEST:
            raise UnresolvedReference(f"becomes longer than {LONGEST >> 20} MiB")
        return literal + value

    return REFERENCE.sub(one, text)


def problems(text: str, scope: Scope) -> list[str]:
    """Return a message for each reference in the text that cannot be resolved."""
    found = []
    for match in REFERENCE.finditer(text):
        if len(match[1]) % 2:
            try:
                resolve(f"${{{match[2]}{'|' + match[3] if match[3] else ''}}}", scope)
            except UnresolvedReference as error:
                found.append(f"${{{match[2]}}}: {error.message}")
    return list(dict.fromkeys(found))


def _filter(name: str | None) -> Callable[[str], str]:
    if name and name not in FILTERS:
        raise UnresolvedReference(f"there is no filter |{name}; expected |{', |'.join(FILTERS)}")
    return FILTERS[name] if name else str


def _value(name: str, scope: Scope) -> str:
    if name in scope.values:
        return scope.values[name]
    head, _, rest = name.partition(".")
    if head == "self" and not scope.self_name:
        raise UnresolvedReference("self has no meaning outside a service")
    service = scope.self_name if head == "self" else head
    services = scope.environment.services
    if service not in services:
        raise UnresolvedReference(f"means nothing here{_nearest(name, scope)}")
    return _of_service(service, rest, replace(scope, self_name=service))


def _nearest(name: str, scope: Scope) -> str:
    rest = name.partition(".")[2]
    services = sorted(scope.environment.services)
    near = did_you_mean(name, [*scope.values, *(f"{service}.{rest}" for service in services)])
    short = sorted({"identity.NAME.token" if n.startswith("identity.") else n for n in iter(scope.values)})
    return f"{near or ';'} known: {', '.join([*services, *short])}"


def _of_service(name: str, what: str, scope: Scope) -> str:
    service = scope.environment.services[name]
    first = next(iter(service.ports), "")
    match what.split("."):
        case ["host"]:
            return scope.addressing.host(name)
        case ["listen" | "root" | "data" as place]:
            return scope.addressing.place(name, place)
        case ["port"] | ["address"] if not first:
            raise UnresolvedReference(f"{name} has no ports")
        case ["port"]:
            return str(scope.addressing.port(name, first))
        case ["address"]:
            return f"{scope.addressing.host(name)}:{scope.addressing.port(name, first)}"
        case ["ports", port]:
            return str(scope.addressing.port(name, port))
        case ["password"]:
            return _variable(name, "probe", {"password": getattr(service.probe, "password", "")}, "password", scope)
        case ["env", variable]:
            return _variable(name, "env", service.env, variable, scope)
        case ["exports", variable]:
            return _variable(name, "exports", service.exports, variable, scope)
    raise UnresolvedReference(f"expected one of {', '.join(f'{name}.{form}' for form in FORMS)}")


def _variable(name: str, kind: str, variables: Mapping[str, str], variable: str, scope: Scope) -> str:
    if variable not in variables:
        known = ", ".join(variables) or "none"
        near = did_you_mean(variable, variables)
        raise UnresolvedReference(f"{name} has no {variable} in its {kind}{near}; it has: {known}")
    step = f"{name}.{kind}.{variable}"
    if step in scope._within:
        raise UnresolvedReference(f"refers to itself: {' -> '.join([*scope._within, step])}")
    if len(scope._within) >= DEEPEST:
        first = " -> ".join(scope._within[:3])
        raise UnresolvedReference(f"goes through more than {DEEPEST} variables: {first} -> ...")
    if step not in scope._found:
        scope._found[step] = resolve(variables[variable], replace(scope, _within=(*scope._within, step)))
    return scope._found[step]


def identity_values(environment: Environment) -> Iterator[str]:
    """Yield the names of the values that come from the environment's identities."""
    for name, identity in environment.cluster.identities.items():
        if identity.token is not None:
            yield from (f"identity.{name}.{what}" for what in ("token", "token_file"))


def value_names(environment: Environment) -> frozenset[str]:
    """Return all names that `Scope.values` must have when the environment is up."""
    names = ["env.name", "env.root", "host.address", "host.listen", *(f"secret.{name}" for name in environment.secrets)]
    if any(service.certificates for service in environment.services.values()):
        names.append("env.ca_file")
    if environment.cluster.wanted:
        names += [f"cluster.{what}" for what in ("name", "kubeconfig", "server", "host", "port", "ca")]
        names += identity_values(environment)
    return frozenset(names)
