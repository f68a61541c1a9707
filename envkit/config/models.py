"""The desired environment as frozen data. Unknown keys are refused; every field says what it means.

A service is data: `redis`, `postgres` and `datastorage` are presets that fill in this same type
(`envkit.config.presets`), and a user's own service needs no Python. Strings may hold references,
`${postgres.host}` for example; `envkit.services.references` resolves them, as seen from the host
or from inside the environment's network.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from envkit.config.names import NAME, VARIABLE
from envkit.config.units import Duration, Size

Name = Annotated[str, Field(pattern=NAME)]
Variable = Annotated[str, Field(pattern=VARIABLE)]
HostPort = Annotated[int, Field(ge=1024, le=65535)]
ContainerPort = Annotated[int, Field(ge=1, le=65535)]


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _port(value: Any) -> Any:
    if isinstance(value, str) and ":" in value:
        host, _, container = value.rpartition(":")
        return {"host": int(host) if host.isdigit() else host, "container": container}
    return {"host": value} if isinstance(value, int | str) and not isinstance(value, bool) else value


def _scalar(value: Any) -> Any:
    """YAML turns `PORT: 8080` and `DEBUG: true` into numbers and booleans; a variable is text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _no_token(value: Any) -> Any:
    """`token: none`; null would mean the default."""
    return None if value in ("none", False) else value


Text = Annotated[str, BeforeValidator(_scalar, json_schema_input_type=str | int | float | bool)]
Strings = Annotated[tuple[Text, ...], BeforeValidator(_one_or_many, json_schema_input_type=str | tuple[Text, ...])]


class Model(BaseModel):
    """Frozen, and a key it does not know is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Port(Model):
    """A port of a service: `container` inside, `host` on 127.0.0.1 (`auto`: any free one; absent: not published)."""

    container: ContainerPort
    host: HostPort | Literal["auto"] | None = None


class File(Model):
    """A file copied into the container before it starts: text, or a file of the host; never a bind mount."""

    path: str = Field(pattern=r"^/", description="absolute path in the container")
    content: str | None = Field(None, description="the text, references resolved")
    source: str | None = Field(None, description="a file of the host, relative to the configuration file")
    mode: Text = Field("0644", pattern=r"^0?[0-7]{3}$")
    owner: int = Field(0, ge=0, description="uid and gid")

    @model_validator(mode="after")
    def _one_origin(self) -> File:
        if (self.content is None) == (self.source is None):
            raise ValueError("expected exactly one of content and source")
        return self


class HttpProbe(Model):
    """Satisfied by `status` at http://127.0.0.1:PORT/path."""

    type: Literal["http"]
    port: str = Field("", description="name of the port; the first one when empty")
    path: str = "/"
    status: int = 200
    headers: dict[str, Text] = {}


class TcpProbe(Model):
    """Satisfied by an accepted connection. Weak: a published port accepts before the process behind it listens."""

    type: Literal["tcp"]
    port: str = ""


class RedisProbe(Model):
    """Satisfied when PING is answered and the running server has the size, policy and allocator it should have."""

    type: Literal["redis"]
    port: str = ""
    password: Text = ""
    maxmemory: Size | None = None
    policy: str | None = None
    decay: bool = Field(False, description="expect jemalloc to return freed memory at once")


class PostgresProbe(Model):
    """Satisfied when a query is answered over TCP from the host."""

    type: Literal["postgres"]
    port: str = ""
    user: Text
    password: Text
    database: Text
    query: str = "SELECT 1"


class ExecProbe(Model):
    """Satisfied when the command, run inside the container, ends with 0."""

    type: Literal["exec"]
    command: Strings


class CommandProbe(Model):
    """Satisfied when the command, run on the host, ends with 0."""

    type: Literal["command"]
    command: Strings


class AuditProbe(Model):
    """Satisfied when an audit event was written and read back as a client would; used once, at creation."""

    type: Literal["audit"]
    port: str = ""
    path: str = "/api/v1/audit/events"


Probe = Annotated[
    HttpProbe | TcpProbe | RedisProbe | PostgresProbe | ExecProbe | CommandProbe | AuditProbe,
    Field(discriminator="type"),
]


class Build(Model):
    """An image built here. The tag is derived from the content, so two environments never fight over one."""

    context: str = Field(description="folder, relative to the configuration file; `datastorage` is envkit's own service")
    dockerfile: str = "Dockerfile"
    args: dict[str, Text] = {}
    target: str | None = None
    platform: str | None = None


class Migrations(Model):
    """A folder of SQL files in goose's format, applied over TCP and recorded in `goose_db_version`."""

    folder: str = Field(description="relative to the configuration file; `datastorage` is envkit's own service's")
    service: str = Field("postgres", description="the service whose postgres probe says how to connect")


class Service(Model):
    """Anything the environment runs: a container, or a one-shot (`once`) container, host command or migration."""

    preset: str | None = None
    options: dict[str, Any] = Field({}, description="the preset's options")
    image: Strings = Field((), description="candidates; the first that is present or can be pulled is used")
    build: Build | None = None
    platform: str | None = None
    entrypoint: Strings | None = None
    command: Strings | None = None
    user: Text | None = None
    workdir: str | None = None
    env: dict[Variable, Text] = {}
    ports: dict[Name, Annotated[Port, BeforeValidator(_port)]] = {}
    files: tuple[File, ...] = ()
    memory: Size | None = Field(None, description="limit in bytes; swap is off whenever a limit is set")
    shm: Size | None = None
    tmpfs: Strings = ()
    capabilities: Strings = ()
    needs: Strings = Field((), description="services that must be ready first; `cluster` is the cluster")
    probe: Probe | None = Field(None, description="ready means this is satisfied")
    first_probe: Probe | None = Field(None, description="asked once, when the service was created")
    once: bool = Field(False, description="runs to its end; 0 is success")
    host_command: Strings | None = Field(None, description="a one-shot run on the host instead of in a container")
    migrations: Migrations | None = None
    exports: dict[Variable, Text] = {}
    timeout: Duration = 60.0
    stop_timeout: Duration = 10.0

    @model_validator(mode="after")
    def _one_way_to_run(self) -> Service:
        ways = [bool(self.image or self.build), self.host_command is not None, self.migrations is not None]
        if sum(ways) != 1:
            raise ValueError("expected exactly one of image/build, host_command and migrations")
        if not ways[0] and not self.once:
            raise ValueError("host_command and migrations need once: true")
        if self.once and self.probe:
            raise ValueError("a one-shot is ready when it ended with 0: it takes no probe")
        return self

    @property
    def in_container(self) -> bool:
        """Whether an engine runs it."""
        return bool(self.image or self.build)


class NodePort(Model):
    """A port of the cluster's node, published on the host's 127.0.0.1."""

    node: ContainerPort
    host: HostPort


class Access(Model):
    """One question for SubjectAccessReview."""

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""
    name: str = ""


class Rule(Model):
    """A rule of a Role or ClusterRole, as Kubernetes writes it."""

    apiGroups: Strings = ("",)
    resources: Strings
    verbs: Strings
    resourceNames: Strings = ()


class Token(Model):
    """A token by TokenRequest, kept in a file of mode 0600 and renewed near its end."""

    seconds: int = Field(3600, ge=600, description="lifetime asked for; the API server refuses less than 600")
    audiences: tuple[str, ...] = ()
    variable: Variable | None = Field(None, description="exported with the token; its _FILE with the path")


class Identity(Model):
    """A ServiceAccount, what it may do, and the questions that prove both the yes and the no."""

    namespace: str
    account: str | None = Field(None, description="the ServiceAccount; the identity's own name when absent")
    role: str | None = Field(None, description="name of the ClusterRole made from `rules`, or of one that exists")
    rules: tuple[Rule, ...] = ()
    namespaces: tuple[str, ...] = Field((), description="bound in these only; everywhere when empty")
    token: Annotated[Token | None, BeforeValidator(_no_token)] = Field(Token(), description="`none` for no token")
    can: tuple[Access, ...] = ()
    cannot: tuple[Access, ...] = ()


class Limits(Model):
    """Throttling of the control plane. Kubernetes' defaults (400/200, 20/30) throttle concurrent CRD creation."""

    inflight: int = Field(800, ge=1)
    mutating_inflight: int = Field(400, ge=1)
    controller_qps: int = Field(100, ge=1)
    controller_burst: int = Field(200, ge=1)


class Cluster(Model):
    """Where the API server comes from, and what is in it before the suite begins."""

    type: Literal["kind", "envtest", "existing", "none"] = "kind"
    node_image: str | None = Field(None, description="kind's own default when absent")
    kubernetes: str | None = Field(None, pattern=r"^v?\d+\.\d+\.\d+$", description="version; picks kindest/node's tag")
    ports: tuple[NodePort, ...] = ()
    images: Strings = Field((), description="local images brought into the node")
    limits: Limits = Limits()
    config: dict[str, Any] = Field({}, description="merged into the generated kind configuration")
    kubeconfig: str | None = Field(None, description="of an existing cluster")
    context: str | None = None
    manifests: Strings = Field((), description="files or folders, applied in order of kind; relative to this file")
    namespaces: Strings = ()
    identities: dict[Name, Identity] = {}
    timeout: Duration = 180.0
    bootstrap_timeout: Duration = 30.0
    exports: dict[Variable, Text] = {"KUBECONFIG": "${cluster.kubeconfig}"}


def _cluster(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


class Environment(Model):
    """A named set of services and a cluster: what is wanted."""

    name: Name
    lane: Literal["auto", "containers", "mixed", "embedded"] = "auto"
    engine: Literal["auto", "docker", "podman"] = "auto"
    port_offset: int = Field(0, ge=0, le=50000)
    timeout: Duration = 300.0
    images: dict[str, str] = Field({}, description="stand-ins: image (with or without tag) -> image to use instead")
    cluster: Annotated[Cluster, BeforeValidator(_cluster)] = Cluster(type="none")
    services: dict[Name, Service] = {}
    exports: dict[Variable, Text] = Field({}, description="variables of the user's own")
    root: str = Field("", description="the folder of the configuration file: who holds this environment")
    files: tuple[str, ...] = Field((), description="the files it was read from, last one wins")

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
