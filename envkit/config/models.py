"""The desired environment as frozen data. Unknown keys are refused; every field says what it means.

A service is data: `redis`, `postgres` and `datastorage` are presets that fill in this same type
(`envkit.config.presets`), and a user's own service needs no Python. Strings may hold references,
`${postgres.host}` for example; `envkit.config.references` resolves them, as seen from the host
or from inside the environment's network.

Annotations are not postponed here and in `probes`: pydantic would compile each of them once more, at every start.
Defaults are models that were not judged: a model's first judgement makes its schema, and once for all is enough.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, Union

from pydantic import BeforeValidator, Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from envkit.base import registry
from envkit.config.fields import Command
from envkit.config.fields import ContainerPort as ContainerPort
from envkit.config.fields import HostPort as HostPort
from envkit.config.fields import Model as Model
from envkit.config.fields import Name as Name
from envkit.config.fields import Strings as Strings
from envkit.config.fields import Text as Text
from envkit.config.fields import Variable as Variable
from envkit.config.file_models import Certificate as Certificate
from envkit.config.file_models import Certificates, Files, KubeconfigField, SecretField
from envkit.config.file_models import File as File
from envkit.config.file_models import Kubeconfig as Kubeconfig
from envkit.config.file_models import Secret as Secret
from envkit.config.probes import ProbeModel
from envkit.config.units import Duration, Size

if TYPE_CHECKING:
    Probe = ProbeModel
else:
    _PROBES = tuple(registry.module(registry.PROBES, name).PROBE for name in registry.PROBES)
    Probe = Annotated[Union[_PROBES], Field(discriminator="type")]  # noqa: UP007  the members are known at run time


def _port(value: Any) -> Any:
    if isinstance(value, str) and ":" in value:
        host, _, container = value.rpartition(":")
        return {"host": int(host) if host.isdecimal() else host, "container": container}
    return {"host": value} if isinstance(value, int | str) and not isinstance(value, bool) else value


_Offset = Annotated[int, Field(ge=0, le=50000)]


def _offset(value: Any) -> Any:
    """`auto` is chosen when the environment is opened; see `envkit.inventory.offsets`."""
    return 0 if value == "auto" else value


def _no_token(value: Any) -> Any:
    """`token: none`; null would mean the default."""
    return None if value in ("none", False) else value


class Port(Model):
    """A port of a service: `container` inside, `host` on 127.0.0.1 (`auto`: any free one; absent: not published)."""

    container: ContainerPort = Field(description="the number inside")
    host: HostPort | Literal["auto"] | None = Field(
        default=None, description="the number on 127.0.0.1; `auto` for any free one, absent for none"
    )


class Build(Model):
    """An image built here. The tag is derived from the content, so two environments never fight over one."""

    context: str = Field(
        description="folder, relative to the configuration file; `datastorage` is envkit's own service"
    )
    dockerfile: str = Field(default="Dockerfile", description="relative to the context")
    args: dict[str, Text] = Field(default={}, description="build arguments")
    target: str | None = Field(default=None, description="stage to stop at")
    platform: str | None = Field(default=None, description="`linux/arm64` for example")


class Migrations(Model):
    """A folder of SQL files in goose's format, applied over TCP and recorded in `goose_db_version`."""

    folder: str = Field(description="relative to the configuration file; `datastorage` is envkit's own service's")
    service: str = Field(default="postgres", description="the service whose postgres probe says how to connect")


class Process(Model):
    """How a service runs as a process of the user's own, where no engine does."""

    command: Command = Field(description="the first word is a program of `supply`, or on PATH")
    supply: Literal["redis", "postgres", "etcd", "kubernetes", "datastorage"] | None = Field(
        default=None, description="where the program comes from, when not from PATH"
    )
    path: str | None = Field(default=None, description="folder of the programs, before any other place")
    minimum: str | None = Field(default=None, pattern=r"^v?\d+(\.\d+)*$", description="oldest version that will do")
    env: dict[Variable, Text] = Field(default={}, description="over the service's `env`")
    stop_signal: Literal["TERM", "INT", "QUIT"] = Field(default="TERM", description="what asks it to end")
    own_user: bool = Field(
        default=False,
        description="where envkit is root, run it as an unused user of its own; programs of a `supply` always do",
    )

    @property
    def reference(self) -> str:
        """The name under which its program is looked for, as an image has one."""
        return f"program:{self.supply or self.command[0]}"


class Service(Model):
    """Anything the environment runs: a container, or a one-shot (`once`) container, host command or migration."""

    preset: str | None = Field(
        default=None, description="fills in the keys below; what is written here is laid over it"
    )
    options: dict[str, Any] = Field(default={}, description="the preset's options")
    image: Strings = Field(default=(), description="candidates; the first that is present or can be pulled is used")
    build: Build | None = Field(default=None, description="an image made here")
    process: Process | None = Field(default=None, description="used instead of the image in the embedded lane")
    platform: str | None = Field(default=None, description="`linux/arm64` for example; the engine's own when absent")
    entrypoint: Strings | None = Field(default=None, description="instead of the image's")
    command: Strings | None = Field(
        default=None, description="instead of the image's; a list of words, never a shell's line"
    )
    user: Text | None = Field(default=None, description="name or uid inside the container")
    workdir: str | None = Field(default=None, description="folder inside the container")
    env: dict[Variable, Text] = Field(default={}, description="variables of the container, references resolved")
    ports: dict[Name, Annotated[Port, BeforeValidator(_port)]] = Field(
        default={}, description="by name; the first is what `${NAME.port}` means"
    )
    files: Files = Field(default=(), description="put into the container before it starts")
    certificates: Certificates = Field(default=(), description="made by the environment's CA; a folder alone will do")
    kubeconfig: KubeconfigField = Field(
        default=None, description="of an identity, as seen from the service; its name alone will do"
    )
    service_account: Name | None = Field(
        default=None,
        description="an identity whose token, ca.crt and namespace are put where Kubernetes puts a pod's",
    )
    memory: Size | None = Field(default=None, description="limit in bytes; swap is off whenever a limit is set")
    shm: Size | None = Field(default=None, description="size of /dev/shm")
    tmpfs: Strings = Field(default=(), description="folders in memory, `/data` or `/data:size=64m`")
    capabilities: Strings = Field(default=(), description="to add, `NET_ADMIN` for example")
    needs: Strings = Field(default=(), description="services that must be ready first; `cluster` is the cluster")
    probe: Probe | None = Field(default=None, description="ready means this is satisfied")
    first_probe: Probe | None = Field(default=None, description="asked once, when the service was created")
    once: bool = Field(default=False, description="runs to its end; 0 is success")
    host_command: Command | None = Field(
        default=None, description="a one-shot run on the host instead of in a container"
    )
    migrations: Migrations | None = Field(default=None, description="a folder of SQL; with `once: true`")
    exports: dict[Variable, Text] = Field(default={}, description="variables for the suite, as seen from the host")
    timeout: Duration = Field(default=60.0, description="deadline for it to be ready, or for a one-shot to end")
    stop_timeout: Duration = Field(default=10.0, description="between asking it to stop and killing it, in `restart`")
    data: bool | None = Field(
        default=None,
        description="whether it holds data that a replacement loses, so that `run` asks for --replace; when absent: "
        "yes for a container with a volume, or where something names its `${self.data}`",
    )
    part_of_cluster: SkipJsonSchema[bool] = Field(default=False, description="set by envkit, for etcd and its like")
    skipped: SkipJsonSchema[tuple[str, ...]] = Field(
        default=(), description="set by envkit: image candidates whose variables are not set, each with the reason"
    )

    @model_validator(mode="after")
    def _one_way_to_run(self) -> Self:
        ways = [self.runs, self.host_command is not None, self.migrations is not None]
        if sum(ways) != 1:
            raise ValueError("expected exactly one of image/build/process, host_command and migrations")
        if not ways[0] and not self.once:
            raise ValueError("host_command and migrations need once: true")
        if self.once and self.probe:
            raise ValueError("a one-shot is ready when it ended with 0: it takes no probe")
        return self

    @property
    def in_container(self) -> bool:
        """Whether an engine runs it."""
        return bool(self.image or self.build)

    @property
    def runs(self) -> bool:
        """Whether a runtime runs it, as a container or as a process; otherwise it is done on the host."""
        return self.in_container or self.process is not None


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
    resources: Strings = Field(description="`pods`, `remediationrequests/status`, ...")
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
    LaneName = str
else:
    LaneName = Literal[("auto", *registry.LANES)]
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


Mirror = Annotated[str, Field(pattern=r"^(https?://)?[\w.\-\[\]]+(:\d+)?(/[\w./\-]+)?/?$")]


def _cluster(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


class Environment(Model):
    """A named set of services and a cluster: what is wanted."""

    name: Name = Field(
        description="of the environment, by default the profile's or the folder's; part of every container's name"
    )
    lane: LaneName = Field(default="auto", description="how it runs: see [Lanes](#lanes)")
    engine: Literal["auto", "docker", "podman"] = Field(default="auto", description="`auto`: the first that answers")
    port_offset: Annotated[int, BeforeValidator(_offset, json_schema_input_type=_Offset | Literal["auto"])] = Field(
        default=0,
        description="added to every fixed host port; `auto`: [one under which all are free](laptop.md#a-second-one)",
    )
    offset_auto: SkipJsonSchema[bool] = Field(default=False, description="set by envkit, for `port_offset: auto`")
    timeout: Duration = Field(
        default=300.0, description="how long a command waits for another one that works on this environment"
    )
    credentials: Literal["published", "generated"] = Field(
        default="published", description="`generated`: presets get a password of their own in each environment"
    )
    secrets: dict[Name, SecretField] = Field(default={}, description="by name: what `${secret.NAME}` means")
    images: dict[str, str] = Field(
        default={}, description="stand-ins: image (with or without tag) -> image to use instead"
    )
    mirrors: dict[str, Mirror] = Field(
        default={}, description="registry, or a part of it -> host/path to pull from instead; `http://` for no TLS"
    )
    cluster: Annotated[Cluster, BeforeValidator(_cluster)] = Field(
        default=Cluster.model_construct(type="none"), description="`kind`, `envtest` or `none` alone say only the type"
    )
    services: dict[Name, Service] = Field(
        default={}, description="by name, which is also the host name inside the network"
    )
    exports: dict[Variable, Text] = Field(default={}, description="variables of the user's own")
    root: SkipJsonSchema[str] = Field(
        default="", description="the folder of the configuration file: who holds this environment"
    )
    files: SkipJsonSchema[tuple[str, ...]] = Field(default=(), description="the files it was read from, last one wins")

    @property
    def checkout(self) -> str:
        """The folder that this environment belongs to; empty when it was made from shipped profiles alone."""
        from envkit.config.shipped import checkout_of

        return checkout_of(self.files, self.root) if self.files else self.root

    @property
    def cluster_parts(self) -> tuple[str, ...]:
        """Services that together are the cluster, where it is made of services."""
        return tuple(name for name, service in self.services.items() if service.part_of_cluster)

    def fixed_ports(self) -> set[int]:
        """Fixed host ports as they are configured, the offset not applied."""
        return {port - self.port_offset for port in self.host_ports()}

    def host_ports(self) -> dict[int, str]:
        """Fixed host ports, the offset applied, with who publishes them (`redis.redis`, `cluster.30081`)."""
        found: dict[int, str] = {}
        for name, service in self.services.items():
            for port_name, port in service.ports.items():
                if isinstance(port.host, int):
                    found[port.host + self.port_offset] = f"{name}.{port_name}"
        for node_port in self.cluster.ports:
            found[node_port.host + self.port_offset] = f"cluster.{node_port.node}"
        return found
