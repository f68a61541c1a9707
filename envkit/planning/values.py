"""Values for references that name no service: `${env.name}`, `${host.address}`, `${cluster.server}`, `${secret.y}`.

Each value is computed when it is read, so that envkit parses a kubeconfig only if a reference needs a part of it.
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
"""Port of kube-apiserver inside a kind node."""


@dataclass(frozen=True)
class Values(Mapping[str, str]):
    """A mapping from full names to texts that computes each text when it is read."""

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
    """How services reach this host: the address to call, and the address to bind a listener to.

    Both are empty if services cannot reach this host.
    """

    address: str = ""
    listen: str = ""


@dataclass(frozen=True)
class RuntimeValues:
    """Values that change during the life of an environment: current values, or placeholders that never change.

    `tokens` and `authority` select current values. `host` computes this host's addresses; None selects placeholders.
    """

    paths: Paths
    tokens: bool = True
    authority: bool = True
    host: Callable[[], ThisHost] | None = None

    def token(self, identity: str) -> str:
        """Return the identity's token or its placeholder, or an empty string if no token exists yet."""
        if not self.tokens:
            return placeholder(identity)
        path = self.paths.tokens / identity
        return path.read_text() if path.exists() else ""

    def ca(self) -> str:
        """Return the text of the API server's CA, or a placeholder, for example before a kubeconfig exists."""
        from envkit.base import kubeconfig

        there = self.authority and self.paths.kubeconfig.exists()
        return kubeconfig.read(self.paths.kubeconfig).ca if there else "<cluster.ca>"

    def of_host(self, what: str) -> str:
        """Return `address` or `listen` of this host, or the placeholder for it.

        Raises `UnresolvedReference` if services cannot reach this host.
        """
        if self.host is None:
            return f"<host.{what}>"
        text = str(getattr(self.host(), what))
        if not text:
            raise UnresolvedReference(f"${{host.{what}}}: containers of this engine have no known way to this host")
        return text


def placeholder(identity: str) -> str:
    """Return the placeholder for an identity's token in text that must not change when the token is renewed."""
    return f"<identity.{identity}.token>"


def values(environment: Environment, where: Addressing, fleeting: RuntimeValues) -> Values:
    """Return all values by name, with addresses for the place that `where` describes."""
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
    """Return the API server's URL for the place that `where` describes; empty if there is no kubeconfig yet.

    Inside the network the URL has the name of a node or service. Elsewhere it is the kubeconfig's URL, or 127.0.0.1 if
    the API server is a service and the caller is a process.

    The certificate of kind has the names of its nodes. The certificate of an API server without nodes has the name of
    its service.
    """
    if APISERVER in environment.cluster_parts and isinstance(where, Inside | AsProcess):
        return f"https://{where.host(APISERVER)}:{where.port(APISERVER, 'https')}"
    if isinstance(where, Inside):
        return f"https://{_plane(environment)}:{API_PORT}"
    from envkit.base import kubeconfig

    return kubeconfig.read(paths.kubeconfig).server if paths.kubeconfig.exists() else ""


def _plane(environment: Environment) -> str:
    """Return the container that serves the API: the control plane, or the load balancer of several control planes."""
    nodes = environment.cluster.config.get("nodes") or ()
    planes = sum(node.get("role", "control-plane") == "control-plane" for node in nodes)
    return f"{resource_name(environment.name)}-{'external-load-balancer' if planes > 1 else 'control-plane'}"


def authority_file(paths: Paths) -> Path:
    """Return the path of the environment's CA certificate."""
    return paths.folder / "pki" / "ca.crt"
