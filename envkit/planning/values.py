"""What references outside of services mean: `${env.name}`, `${host.address}`, `${cluster.server}`, `${secret.y}`.

They are made when asked for: a kubeconfig is parsed only where somebody needs a part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from envkit.base.labels import resource_name
from envkit.base.paths import Paths
from envkit.config.names import APISERVER
from envkit.config.references import Addressing, AsProcess, Inside, UnresolvedReference
from envkit.planning import secrets

if TYPE_CHECKING:
    from envkit.config.models import Environment

API_PORT = 6443
"""Of kube-apiserver inside a kind node."""


@dataclass(frozen=True)
class Values(Mapping[str, str]):
    """Texts by full name, each made when it is asked for."""

    made: Mapping[str, Callable[[], str]] = field(repr=False)

    def __getitem__(self, name: str) -> str:
        return self.made[name]()

    def __contains__(self, name: object) -> bool:
        return name in self.made

    def __iter__(self) -> Iterator[str]:
        return iter(self.made)

    def __len__(self) -> int:
        return len(self.made)


@dataclass(frozen=True)
class ThisHost:
    """What they call, and what the listener must be bound to; both empty where there is no way back."""

    address: str = ""
    listen: str = ""


@dataclass(frozen=True)
class Fleeting:
    """How what changes while an environment lives is told: as it is now, or by a mark that stays the same."""

    paths: Paths
    tokens: bool = True
    authority: bool = True
    host: Callable[[], ThisHost] | None = None

    def token(self, identity: str) -> str:
        """The identity's token, empty while there is none."""
        if not self.tokens:
            return mark(identity)
        path = self.paths.tokens / identity
        return path.read_text() if path.exists() else ""

    def ca(self) -> str:
        """The CA of the API server."""
        from envkit.base import kubeconfig

        there = self.authority and self.paths.kubeconfig.exists()
        return kubeconfig.read(self.paths.kubeconfig).ca if there else "<cluster.ca>"

    def of_host(self, what: str) -> str:
        """`address` or `listen` of this host. Raises `UnresolvedReference` where there is no way back."""
        if self.host is None:
            return f"<host.{what}>"
        text = str(getattr(self.host(), what))
        if not text:
            raise UnresolvedReference(f"${{host.{what}}}: what this engine runs has no known way to this host")
        return text


def mark(identity: str) -> str:
    """What stands for an identity's token in text that outlives it."""
    return f"<identity.{identity}.token>"


def values(environment: Environment, where: Addressing, fleeting: Fleeting) -> Values:
    """Every value by its name, as seen from `where`."""
    paths = fleeting.paths

    def server() -> str:
        return server_of(environment, where, paths)

    made: dict[str, Callable[[], str]] = {
        "env.name": lambda: environment.name,
        "env.root": lambda: environment.root,
        "env.ca_file": lambda: str(authority_file(paths)),
        "host.address": lambda: fleeting.of_host("address"),
        "host.listen": lambda: fleeting.of_host("listen"),
        "cluster.name": lambda: resource_name(environment.name),
        "cluster.kubeconfig": lambda: str(paths.kubeconfig),
        "cluster.server": server,
        "cluster.host": lambda: str(urlsplit(server()).hostname),
        "cluster.port": lambda: str(urlsplit(server()).port),
        "cluster.ca": fleeting.ca,
    }
    for name in environment.cluster.identities:
        made[f"identity.{name}.token_file"] = partial(str, paths.tokens / name)
        made[f"identity.{name}.token"] = partial(fleeting.token, name)
    for name, secret in environment.secrets.items():
        made[f"secret.{name}"] = partial(secrets.text_of, name, secret, paths)
    return Values(made)


def server_of(environment: Environment, where: Addressing, paths: Paths) -> str:
    """The API server's address: in containers by the name of its container, elsewhere as the host sees it.

    kind's certificate names its nodes, that of an API server without nodes names the service.
    """
    if APISERVER in environment.cluster_parts and isinstance(where, Inside | AsProcess):
        return f"https://{where.host(APISERVER)}:{where.port(APISERVER, 'https')}"
    if isinstance(where, Inside):
        return f"https://{_plane(environment)}:{API_PORT}"
    from envkit.base import kubeconfig

    return kubeconfig.read(paths.kubeconfig).server if paths.kubeconfig.exists() else ""


def _plane(environment: Environment) -> str:
    """The node that answers for the API server: with several control planes the balancer before them."""
    nodes = environment.cluster.config.get("nodes") or ()
    planes = sum(node.get("role", "control-plane") == "control-plane" for node in nodes)
    return f"{resource_name(environment.name)}-{'external-load-balancer' if planes > 1 else 'control-plane'}"


def authority_file(paths: Paths) -> Path:
    """The environment's own CA."""
    return paths.folder / "pki" / "ca.crt"
