"""The models of the configuration: frozen data that describe the desired environment. Unknown keys are faults.

A service is data, so users add services without Python. The presets `redis`, `postgres` and `datastorage`
(`envkit.config.presets`) produce the same type. Strings may contain references, for example `${postgres.host}`.
`envkit.config.references` resolves them for the host or for the inside of the environment's network.

This module and `probes` do not postpone annotations, because pydantic would compile each of them again at every start.
Defaults are models without validation (`model_construct`), because the first validation of a model builds its schema.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, Union

from pydantic import BeforeValidator, Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from envkit.base import registry
from envkit.config.cluster_models import Access as Access
from envkit.config.cluster_models import Cluster as Cluster
from envkit.config.cluster_models import Identity as Identity
from envkit.config.cluster_models import Limits as Limits
from envkit.config.cluster_models import NodePort as NodePort
from envkit.config.cluster_models import Rule as Rule
from envkit.config.cluster_models import Token as Token
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
    """Return 0 for `auto`: envkit chooses that offset when it opens the environment, see `envkit.inventory.offsets`."""
    return 0 if value == "auto" else value


class Port(Model):
    """A port of a service: its number inside the container, and the number under which 127.0.0.1 publishes it."""

    container: ContainerPort = Field(description="port number inside the container")
    host: HostPort | Literal["auto"] | None = Field(
        default=None, description="port number on 127.0.0.1; `auto` means any free one; by default it is not published"
    )


class Build(Model):
    """An image that envkit builds. Its tag is a digest of its content, so no environment overwrites another's image."""

    context: str = Field(
        description="folder, relative to the configuration file; `datastorage` selects envkit's own service"
    )
    dockerfile: str = Field(default="Dockerfile", description="path, relative to the context")
    args: dict[str, Text] = Field(default={}, description="build arguments")
    target: str | None = Field(default=None, description="build stage to stop at; by default the last one")
    platform: str | None = Field(default=None, description="platform of the image, for example `linux/arm64`")


class Migrations(Model):
    """A folder of SQL files in goose's format. envkit applies them over TCP and records them in `goose_db_version`."""

    folder: str = Field(
        description="folder, relative to the configuration file; `datastorage` selects those of envkit's own service"
    )
    service: str = Field(default="postgres", description="service to migrate; its postgres probe has the login")


class Process(Model):
    """How a service runs as a process on this host, in the lane without an engine."""

    command: Command = Field(description="program and arguments; the program is from `supply`, or on PATH")
    supply: Literal["redis", "postgres", "etcd", "kubernetes", "datastorage"] | None = Field(
        default=None, description="source of the program; by default it is on PATH"
    )
    path: str | None = Field(default=None, description="folder of the programs; envkit searches it first")
    minimum: str | None = Field(
        default=None, pattern=r"^v?\d+(\.\d+)*$", description="oldest accepted version of the program"
    )
    env: dict[Variable, Text] = Field(default={}, description="variables, merged over the service's `env`")
    stop_signal: Literal["TERM", "INT", "QUIT"] = Field(default="TERM", description="signal that stops the process")
    own_user: bool = Field(
        default=False,
        description="if envkit runs as root, run the process as a separate unused user; always so with `supply`",
    )

    @property
    def reference(self) -> str:
        """The text that identifies the program, as an image's name identifies an image."""
        return f"program:{self.supply or self.command[0]}"


class Service(Model):
    """A service of the environment, which runs as a container or a process until it is stopped.

    With `once` it is a one-shot, which runs to its end; a one-shot may also be a host command or a migration.
    """

    preset: str | None = Field(
        default=None, description="preset that sets the keys below; keys in the configuration override it"
    )
    options: dict[str, Any] = Field(default={}, description="options of the preset")
    image: Strings = Field(
        default=(), description="candidate images; envkit uses the first that is present or can be pulled"
    )
    build: Build | None = Field(default=None, description="image that envkit builds")
    process: Process | None = Field(default=None, description="used instead of the image in the embedded lane")
    platform: str | None = Field(
        default=None, description="platform of the image, for example `linux/arm64`; by default the engine's"
    )
    entrypoint: Strings | None = Field(default=None, description="replaces the image's entrypoint")
    command: Strings | None = Field(
        default=None, description="replaces the image's command; a list of words, not a shell command line"
    )
    user: Text | None = Field(default=None, description="name or uid inside the container")
    workdir: str | None = Field(default=None, description="folder inside the container")
    env: dict[Variable, Text] = Field(default={}, description="variables of the container; may contain references")
    ports: dict[Name, Annotated[Port, BeforeValidator(_port)]] = Field(
        default={}, description="ports by name; `${NAME.port}` means the first one"
    )
    files: Files = Field(default=(), description="files that envkit copies into the container before it starts")
    certificates: Certificates = Field(
        default=(), description="certificates from the environment's CA; a folder is the short form"
    )
    kubeconfig: KubeconfigField = Field(
        default=None, description="kubeconfig of an identity that works inside the service; its name is the short form"
    )
    service_account: Name | None = Field(
        default=None,
        description="identity; envkit puts its token, ca.crt and namespace into the folder that pods use for them",
    )
    memory: Size | None = Field(default=None, description="memory limit in bytes; a limit also turns swap off")
    shm: Size | None = Field(default=None, description="size of /dev/shm")
    tmpfs: Strings = Field(default=(), description="folders in memory, `/data` or `/data:size=64m`")
    capabilities: Strings = Field(default=(), description="capabilities to add, for example `NET_ADMIN`")
    needs: Strings = Field(default=(), description="services that must be ready first; `cluster` means the cluster")
    probe: Probe | None = Field(default=None, description="the service is ready when this probe succeeds")
    first_probe: Probe | None = Field(
        default=None, description="further probe that must succeed once after the service was created"
    )
    once: bool = Field(default=False, description="the service is a one-shot: it runs to its end, and 0 is success")
    host_command: Command | None = Field(
        default=None, description="command of a one-shot that runs on the host instead of in a container"
    )
    migrations: Migrations | None = Field(default=None, description="folder of SQL files; needs `once: true`")
    exports: dict[Variable, Text] = Field(
        default={}, description="variables for the suite; references get the host's addresses"
    )
    timeout: Duration = Field(
        default=60.0, description="time limit for the service to become ready, or for a one-shot to end"
    )
    stop_timeout: Duration = Field(default=10.0, description="time between the stop signal and SIGKILL in `restart`")
    data: bool | None = Field(
        default=None,
        description="whether the service holds data that a replacement loses, so that `run` requires --replace; by "
        "default true for a container with a volume, and for a process whose command or variables use `${self.data}`",
    )
    part_of_cluster: SkipJsonSchema[bool] = Field(default=False, description="set by envkit, for parts such as etcd")
    skipped: SkipJsonSchema[tuple[str, ...]] = Field(
        default=(), description="set by envkit: image candidates with variables that are not set, each with the reason"
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
        """Whether the service has an image or a build, so that an engine runs it."""
        return bool(self.image or self.build)

    @property
    def runs(self) -> bool:
        """Whether a runtime runs the service, as container or process; a host command or migration needs no runtime."""
        return self.in_container or self.process is not None


if TYPE_CHECKING:
    LaneName = str
else:
    LaneName = Literal[("auto", *registry.LANES)]

Mirror = Annotated[str, Field(pattern=r"^(https?://)?[\w.\-\[\]]+(:\d+)?(/[\w./\-]+)?/?$")]


def _cluster(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


class Environment(Model):
    """The desired environment: a name, services, and a cluster."""

    name: Name = Field(
        description="name of the environment, by default that of the profile or folder; part of all container names"
    )
    lane: LaneName = Field(default="auto", description="pair of runtime and cluster, see [Lanes](#lanes)")
    engine: Literal["auto", "docker", "podman"] = Field(
        default="auto", description="container engine; `auto` means the first that answers"
    )
    port_offset: Annotated[int, BeforeValidator(_offset, json_schema_input_type=_Offset | Literal["auto"])] = Field(
        default=0,
        description="number added to all fixed host ports; `auto`: [one with free ports](laptop.md#a-second-one)",
    )
    offset_auto: SkipJsonSchema[bool] = Field(default=False, description="set by envkit, for `port_offset: auto`")
    timeout: Duration = Field(
        default=300.0, description="how long a command waits for another command that changes this environment"
    )
    credentials: Literal["published", "generated"] = Field(
        default="published",
        description="passwords of presets: `published` defaults, or `generated` ones for each environment",
    )
    secrets: dict[Name, SecretField] = Field(default={}, description="secrets by name, for `${secret.NAME}`")
    images: dict[str, str] = Field(
        default={}, description="substitutes: image (with or without tag) -> image to use instead"
    )
    mirrors: dict[str, Mirror] = Field(
        default={}, description="registry, or a part of it -> host/path to pull from instead; `http://` for no TLS"
    )
    cluster: Annotated[Cluster, BeforeValidator(_cluster)] = Field(
        default=Cluster.model_construct(type="none"),
        description="the cluster; `kind`, `envtest` or `none` is the short form for its type",
    )
    services: dict[Name, Service] = Field(
        default={}, description="services by name; the name is also the host name inside the network"
    )
    exports: dict[Variable, Text] = Field(default={}, description="further variables for the suite")
    root: SkipJsonSchema[str] = Field(
        default="", description="the folder of the configuration file, to which the environment belongs"
    )
    files: SkipJsonSchema[tuple[str, ...]] = Field(
        default=(), description="the configuration files; later files override earlier ones"
    )

    @property
    def checkout(self) -> str:
        """The folder that the environment belongs to; empty if its configuration has shipped profiles only."""
        from envkit.config.shipped import checkout_of

        return checkout_of(self.files, self.root) if self.files else self.root

    @property
    def cluster_parts(self) -> tuple[str, ...]:
        """The services of which the cluster consists; empty for a cluster that does not consist of services."""
        return tuple(name for name, service in self.services.items() if service.part_of_cluster)

    def fixed_ports(self) -> set[int]:
        """Return the fixed host ports of the configuration, without the offset."""
        return {port - self.port_offset for port in self.host_ports()}

    def host_ports(self) -> dict[int, str]:
        """Return the fixed host ports plus the offset, each with its publisher: `redis.redis`, `cluster.30081`."""
        found: dict[int, str] = {}
        for name, service in self.services.items():
            for port_name, port in service.ports.items():
                if isinstance(port.host, int):
                    found[port.host + self.port_offset] = f"{name}.{port_name}"
        for node_port in self.cluster.ports:
            found[node_port.host + self.port_offset] = f"cluster.{node_port.node}"
        return found
