"""The cluster as frozen data: where its API server comes from, and the namespaces and identities in it.

Annotations are not postponed here, for the reason that `models` gives.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from envkit.base import registry
from envkit.config.fields import ContainerPort, HostPort, Model, Name, Strings, Text, Variable
from envkit.config.units import Duration


def _no_token(value: Any) -> Any:
    """`token: none`; null would mean the default."""
    return None if value in ("none", False) else value


class NodePort(Model):
    """A port of the cluster's node, published on the host's 127.0.0.1."""

    node: ContainerPort = Field(description="the port of the node")
    host: HostPort = Field(description="the port of 127.0.0.1")


class Access(Model):
    """One question for SubjectAccessReview."""

    verb: str = Field(description="`get` for example")
    resource: str = Field(description="in the plural")
    group: str = Field(default="", description="empty text is the core group")
    namespace: str = Field(default="", description="empty: in all of them")
    name: str = Field(default="", description="of one object; empty: of any")


class Rule(Model):
    """A rule of a Role or ClusterRole, as Kubernetes writes it."""

    apiGroups: Strings = Field(default=("",), description="empty text is the core group")  # noqa: N815  Kubernetes' own spelling
    resources: Strings = Field(description="`pods`, `pods/log`, ...")
    verbs: Strings = Field(description="`get`, `create`, ...")
    resourceNames: Strings = Field(default=(), description="these only; all when empty")  # noqa: N815  Kubernetes' own spelling


class Token(Model):
    """A token by TokenRequest, kept in a file of mode 0600 and renewed near its end."""

    seconds: int = Field(
        default=3600, ge=600, le=2**31, description="lifetime asked for; the API server refuses less than 600"
    )
    audiences: tuple[str, ...] = Field(default=(), description="empty: the API server's own")
    variable: Variable | None = Field(default=None, description="exported with the token; its _FILE with the path")


class Identity(Model):
    """A ServiceAccount, what it may do, and the questions that prove both the yes and the no."""

    namespace: str = Field(description="of the ServiceAccount; it must exist or be among `namespaces`")
    account: str | None = Field(default=None, description="the ServiceAccount; the identity's own name when absent")
    role: str | None = Field(
        default=None, description="name of the ClusterRole made from `rules`, or of one that exists"
    )
    rules: tuple[Rule, ...] = Field(default=(), description="of the ClusterRole that `role` names")
    namespaces: tuple[str, ...] = Field(default=(), description="bound in these only; everywhere when empty")
    token: Annotated[Token | None, BeforeValidator(_no_token)] = Field(
        default=Token.model_construct(), description="`none` for no token"
    )
    can: tuple[Access, ...] = Field(default=(), description="questions that must be answered with yes")
    cannot: tuple[Access, ...] = Field(default=(), description="questions that must be answered with no")


class Limits(Model):
    """Throttling of the control plane. Kubernetes' defaults (400/200, 20/30) throttle concurrent CRD creation."""

    inflight: int = Field(default=800, ge=1, le=2**31 - 1, description="requests at once that only read")
    mutating_inflight: int = Field(default=400, ge=1, le=2**31 - 1, description="requests at once that write")
    controller_qps: int = Field(default=100, ge=1, le=2**31 - 1, description="requests a second of the controllers")
    controller_burst: int = Field(default=200, ge=1, le=2**31 - 1, description="and in one go")


if TYPE_CHECKING:
    ClusterType = str
else:
    ClusterType = Literal[(*registry.CLUSTERS, "existing", registry.NO_CLUSTER)]


class Cluster(Model):
    """Where the API server comes from, and what is in it before the suite begins."""

    type: ClusterType = Field(default="kind", description="see [The cluster](#the-cluster)")
    node_image: str | None = Field(default=None, description="kind's own default when absent")
    kubernetes: str | None = Field(
        default=None, pattern=r"^v?\d+\.\d+\.\d+$", description="version; picks kindest/node's tag"
    )
    etcd: str | None = Field(
        default=None, pattern=r"^v?\d+(\.\d+)*$", description="oldest etcd that will do in the embedded lane"
    )
    programs: str | None = Field(
        default=None, description="folder of etcd's and Kubernetes' programs in the embedded lane, before other places"
    )
    ports: tuple[NodePort, ...] = Field(default=(), description="NodePorts to publish")
    images: Strings = Field(default=(), description="local images brought into the node")
    limits: Limits = Field(default=Limits.model_construct(), description="throttling of the control plane")
    config: dict[str, Any] = Field(default={}, description="merged into the generated kind configuration")
    kubeconfig: str | None = Field(default=None, description="of an existing cluster")
    context: str | None = Field(default=None, description="of an existing cluster's kubeconfig")
    manifests: Strings = Field(
        default=(), description="files or folders, applied in order of kind; relative to this file"
    )
    namespaces: Strings = Field(default=(), description="made, and waited for until Active")
    identities: dict[Name, Identity] = Field(
        default={}, description="ServiceAccounts by name, with rights, token and proof"
    )
    timeout: Duration = Field(default=180.0, description="deadline for the cluster to be ready")
    bootstrap_timeout: Duration = Field(
        default=30.0, description="deadline for manifests, namespaces and identities together"
    )
    exports: dict[Variable, Text] = Field(
        default={"KUBECONFIG": "${cluster.kubeconfig}"}, description="variables for the suite"
    )

    @property
    def wanted(self) -> bool:
        """Whether there is to be a cluster at all."""
        return self.type != registry.NO_CLUSTER

    @property
    def has_nodes(self) -> bool:
        """Whether its nodes are containers in the environment's network."""
        return registry.has_nodes(self.type)
