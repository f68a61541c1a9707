"""`${postgres.host}` and its like: what a service's text means, as seen from the host or from inside the network.

    ${NAME.host} ${NAME.port} ${NAME.address}    of the service's first port; address is host:port
    ${NAME.ports.PORT}                           of the port of that name
    ${NAME.env.VAR} ${NAME.exports.VAR}          another service's variable, itself resolved from here
    ${NAME.password}                             what its probe logs in with, empty where it needs none
    ${NAME.listen} ${NAME.root} ${NAME.data}     the address to bind, the folder its files are in, a folder for data
    ${self...}                                   the service that the text belongs to
    ${env.name} ${env.root} ${env.ca_file}       name, folder, the file of the environment's own CA
    ${host.address} ${host.listen}               what calls this host back by, and what the listener there binds
    ${cluster.name} ${cluster.kubeconfig}        the administrator's file, of the host
    ${cluster.server} .host .port .ca            the API server as seen from here, and its CA's text
    ${identity.NAME.token} ${identity.NAME.token_file} ${secret.NAME}

After a name `|url` percent-encodes, `|base64` encodes, `|quoted` sets between double quotes:
`${self.env.POSTGRES_PASSWORD|url}`. The grammar is `config.interpolate`'s.
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
"""Never `localhost`, which is ::1 first on many machines where ports are published on IPv4 only."""


def _quoted(text: str) -> str:
    """Between double quotes, as JSON, Redis and most configuration files read it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


FILTERS: Mapping[str, Callable[[str], str]] = {
    "url": lambda text: quote(text, safe=""),
    "quoted": _quoted,
    "base64": lambda text: b64encode(text.encode()).decode(),
}

DEEPEST = 30
"""Variables that refer to one another, one after the other."""

LONGEST = 4 << 20
"""Letters of a text with its references resolved."""

FORMS = ("host", "port", "address", "ports.PORT", "env.VAR", "exports.VAR", "password", "listen", "root", "data")


class UnresolvedReference(EnvironmentFailed):
    """A reference that means nothing here; loading finds all but those to ports and tokens that do not exist yet."""


class Addressing(Protocol):
    """From where a service is looked at."""

    def host(self, service: str) -> str:
        """The host part of its address."""

    def port(self, service: str, port_name: str) -> int:
        """The number under which that port is reached."""

    def place(self, service: str, what: str) -> str:
        """`listen`, `root` or `data` of the service, where it runs."""


@dataclass(frozen=True)
class Published:
    """As seen from the host: 127.0.0.1 and the published port; `auto_ports` maps `service.port` to what was given."""

    environment: Environment
    auto_ports: Mapping[str, int] = field(default_factory=dict)

    def host(self, _service: str) -> str:
        """127.0.0.1, for every service."""
        return LOCALHOST

    def port(self, service: str, port_name: str) -> int:
        """The host port, moved by the offset. Raises `UnresolvedReference` when it is not published, or not yet."""
        host = port_of(self.environment, service, port_name).host
        if host is None:
            how = f"set services.{service}.ports.{port_name} to a host port, or to auto"
            raise UnresolvedReference(f"port {port_name} of {service} is not published; {how}")
        if host != "auto":
            return host + self.environment.port_offset
        if f"{service}.{port_name}" not in self.auto_ports:
            raise UnresolvedReference(f"port {port_name} of {service} has not been given a number yet")
        return self.auto_ports[f"{service}.{port_name}"]

    def place(self, service: str, what: str) -> str:
        """127.0.0.1; a folder is known only where the service runs."""
        if what == "listen":
            return LOCALHOST
        raise UnresolvedReference(f"the {what} folder of {service} means nothing outside of it")


@dataclass(frozen=True)
class AsProcess(Published):
    """As a process sees the others and itself: the host's addresses, and folders below `home`."""

    home: Path = Path()

    def place(self, service: str, what: str) -> str:
        """127.0.0.1, and the service's own folders."""
        return LOCALHOST if what == "listen" else str(self.home / service / what)


@dataclass(frozen=True)
class Inside:
    """As seen from the environment's own network: the service's name and the container's port."""

    environment: Environment

    def host(self, service: str) -> str:
        """The service's name, which the network resolves."""
        return service

    def port(self, service: str, port_name: str) -> int:
        """The container's port."""
        return port_of(self.environment, service, port_name).container

    def place(self, _service: str, what: str) -> str:
        """Every address of the container, its root, and /data."""
        return {"listen": "0.0.0.0", "root": "", "data": "/data"}[what]  # noqa: S104  published on 127.0.0.1 only


def port_of(environment: Environment, service: str, port_name: str) -> Port:
    """The port of that name. Raises `UnresolvedReference` when the service has none."""
    ports = environment.services[service].ports
    if port_name not in ports:
        known = ", ".join(ports) or "none"
        raise UnresolvedReference(f"{service} has no port {port_name}{did_you_mean(port_name, ports)}; it has: {known}")
    return ports[port_name]


@dataclass(frozen=True)
class Scope:
    """What references mean: `values` holds what is no service's, by full name (`cluster.kubeconfig`)."""

    environment: Environment
    addressing: Addressing
    self_name: str = ""
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    _within: tuple[str, ...] = ()
    _found: dict[str, str] = field(default_factory=dict, repr=False)
    """Variables that this resolution met before: two references in each of forty would take a million years."""


def names_in(text: str) -> tuple[str, ...]:
    """The names of the references in the text, `redis.port` for example, each once."""
    return tuple(dict.fromkeys(found[2] for found in REFERENCE.finditer(text) if len(found[1]) % 2))


def resolve(text: str, scope: Scope) -> str:
    """The text with every reference resolved. Raises `UnresolvedReference` for the first that means nothing."""
    if "$" not in text:
        return text
    if not scope._within:
        scope = replace(scope, _found={})  # a token may be another one the next time
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
    """Why references in the text cannot be resolved, all of them."""
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
    """Names of the values that the environment's identities give."""
    for name, identity in environment.cluster.identities.items():
        if identity.token is not None:
            yield from (f"identity.{name}.{what}" for what in ("token", "token_file"))


def value_names(environment: Environment) -> frozenset[str]:
    """Every name that `Scope.values` must hold when the environment is up."""
    names = ["env.name", "env.root", "host.address", "host.listen", *(f"secret.{name}" for name in environment.secrets)]
    if any(service.certificates for service in environment.services.values()):
        names.append("env.ca_file")
    if environment.cluster.wanted:
        names += [f"cluster.{what}" for what in ("name", "kubeconfig", "server", "host", "port", "ca")]
        names += identity_values(environment)
    return frozenset(names)
