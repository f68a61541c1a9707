"""The cluster as frozen data: where its API server comes from, and the namespaces and identities in it.

This module does not postpone annotations, for the reason in the docstring of `models`.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from envkit.base import registry
from envkit.config.fields import ContainerPort, HostPort, Model, Name, Strings, Text, Variable
from envkit.config.units import Duration


def _no_token(value: Any) -> Any:
    """Return None for `token: none`; null in the file would mean the default."""
    return None if value in ("none", False) else value


class NodePort(Model):
    """A port of the cluster's node that envkit publishes on 127.0.0.1 of the host."""

    node: ContainerPort = Field(description="port number of the node")
    host: HostPort = Field(description="port number on 127.0.0.1")


class Access(Model):
    """One question for SubjectAccessReview."""

    verb: str = Field(description="verb of the request, for example `get`")
    resource: str = Field(description="resource, in the plural")
    group: str = Field(default="", description="API group; an empty text means the core group")
    namespace: str = Field(default="", description="namespace; an empty text means all namespaces")
    name: str = Field(default="", description="name of one object; an empty text means any object")


class Rule(Model):
    """A rule of a Role or ClusterRole, in the form of Kubernetes."""

    apiGroups: Strings = Field(default=("",), description="API groups; an empty text means the core group")  # noqa: N815  Kubernetes' own spelling
    resources: Strings = Field(description="resources: `pods`, `pods/log`, ...")
    verbs: Strings = Field(description="verbs: `get`, `create`, ...")
    resourceNames: Strings = Field(default=(), description="names of the allowed objects; all if empty")  # noqa: N815  Kubernetes' own spelling


class Token(Model):
    """A token from TokenRequest. envkit keeps it in a file of mode 0600 and renews it before it expires."""

    seconds: int = Field(
        default=3600, ge=600, le=2**31, description="requested lifetime; the API server refuses less than 600"
    )
    audiences: tuple[str, ...] = Field(default=(), description="audiences; by default the API server's own")
    variable: Variable | None = Field(
        default=None, description="variable that exports the token; with the suffix _FILE it exports the path"
    )


class Identity(Model):
    """A ServiceAccount, its rights, and questions that prove which requests it may make and which it may not make."""

    namespace: str = Field(description="namespace of the ServiceAccount; it must exist or be in `cluster.namespaces`")
    account: str | None = Field(
        default=None, description="name of the ServiceAccount; by default the name of the identity"
    )
    role: str | None = Field(
        default=None, description="name of the ClusterRole that envkit creates from `rules`, or of an existing one"
    )
    rules: tuple[Rule, ...] = Field(default=(), description="rules of the ClusterRole `role`")
    namespaces: tuple[str, ...] = Field(
        default=(), description="namespaces in which the role is bound; the whole cluster if empty"
    )
    token: Annotated[Token | None, BeforeValidator(_no_token)] = Field(
        default=Token.model_construct(), description="token of the identity; `none` for no token"
    )
    can: tuple[Access, ...] = Field(default=(), description="questions that the API server must answer with yes")
    cannot: tuple[Access, ...] = Field(default=(), description="questions that the API server must answer with no")


class Limits(Model):
    """Request limits of the control plane. Kubernetes' defaults (400/200, 20/30) slow concurrent creation of CRDs."""

    inflight: int = Field(default=800, ge=1, le=2**31 - 1, description="parallel requests that only read")
    mutating_inflight: int = Field(default=400, ge=1, le=2**31 - 1, description="parallel requests that write")
    controller_qps: int = Field(default=100, ge=1, le=2**31 - 1, description="requests per second of the controllers")
    controller_burst: int = Field(
        default=200, ge=1, le=2**31 - 1, description="requests that the controllers may send at once"
    )


if TYPE_CHECKING:
    ClusterType = str
else:
    ClusterType = Literal[(*registry.CLUSTERS, "existing", registry.NO_CLUSTER)]


class Cluster(Model):
    """The API server of the environment, and the objects that envkit creates in it before the suite begins."""

    type: ClusterType = Field(default="kind", description="kind of cluster, see [The cluster](#the-cluster)")
    node_image: str | None = Field(default=None, description="image of the nodes; by default kind's own choice")
    kubernetes: str | None = Field(
        default=None, pattern=r"^v?\d+\.\d+\.\d+$", description="version; it selects the tag of kindest/node"
    )
    etcd: str | None = Field(
        default=None, pattern=r"^v?\d+(\.\d+)*$", description="oldest accepted etcd in the embedded lane"
    )
    programs: str | None = Field(
        default=None, description="folder with the programs of etcd and Kubernetes in the embedded lane; searched first"
    )
    ports: tuple[NodePort, ...] = Field(default=(), description="NodePorts to publish")
    images: Strings = Field(default=(), description="local images that envkit loads into the node")
    limits: Limits = Field(default=Limits.model_construct(), description="request limits of the control plane")
    config: dict[str, Any] = Field(default={}, description="values merged into the generated configuration of kind")
    kubeconfig: str | None = Field(default=None, description="kubeconfig file of an existing cluster")
    context: str | None = Field(default=None, description="context in the kubeconfig of an existing cluster")
    manifests: Strings = Field(
        default=(),
        description="files or folders, relative to the configuration file; envkit applies objects in an order by kind",
    )
    namespaces: Strings = Field(
        default=(), description="namespaces; envkit creates them and waits until they are Active"
    )
    identities: dict[Name, Identity] = Field(
        default={}, description="ServiceAccounts by name, with rights, a token and questions about the rights"
    )
    timeout: Duration = Field(default=180.0, description="time limit for the cluster to become ready")
    bootstrap_timeout: Duration = Field(
        default=30.0, description="time limit for manifests, namespaces and identities together"
    )
    exports: dict[Variable, Text] = Field(
        default={"KUBECONFIG": "${cluster.kubeconfig}"}, description="variables for the suite"
    )

    @property
    def wanted(self) -> bool:
        """Whether the environment has a cluster."""
        return self.type != registry.NO_CLUSTER

    @property
    def has_nodes(self) -> bool:
        """Whether the cluster has nodes that are containers in the environment's network."""
        return registry.has_nodes(self.type)
