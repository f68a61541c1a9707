"""Models of what envkit puts into a service as files: the user's files, secrets, certificates and kubeconfigs."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from envkit.config.fields import Mode, Model, Name, Owner, Strings, Text

MOUNTED = "/var/run/secrets/kubernetes.io/serviceaccount"
"""The folder in which Kubernetes mounts a pod's token, and from which Kubernetes clients read it by default."""

PRIVATE, OPEN = "0600", "0644"
"""File modes: readable by the service's user only, and readable by every user."""

Path = Annotated[str, Field(pattern=r"^/")]


class File(Model):
    """A file that envkit copies into the service before the start: text or a file of the host. It is never a mount."""

    path: Path = Field(description="absolute path in the container")
    content: str | None = Field(default=None, description="the text, may contain references", repr=False)
    source: str | None = Field(default=None, description="path of a host file, relative to the configuration file")
    set: dict[str, Any] = Field(
        default={}, repr=False,
        description="values to set in the YAML or JSON of `source` or `content` (or in an empty document), by dotted "
        "path: `database.host` or `servers.0.port`; may contain references",
    )  # fmt: skip
    mode: Mode | None = Field(
        default=None,
        description="octal; by default 0600 if the file refers to a secret, token or password, else 0644",
    )  # fmt: skip
    owner: Owner | None = Field(default=None, description="uid or uid:gid; by default the service's user")

    @model_validator(mode="after")
    def _one_origin(self) -> File:
        if self.content is not None and self.source is not None:
            raise ValueError("expected exactly one of content and source")
        if self.content is None and self.source is None and not self.set:
            raise ValueError("expected one of content and source, or set")
        return self

    @property
    def permissions(self) -> int:
        """The mode as a number, 0644 by default."""
        return int(self.mode or "0644", 8)


class Certificate(Model):
    """A certificate for the service, signed by the environment's CA: one folder with tls.crt, tls.key and ca.crt."""

    folder: Path = Field(description="absolute path in the container")
    hosts: Strings = Field(
        default=(), description="further names and addresses, besides the service's name, localhost and 127.0.0.1"
    )
    owner: Owner | None = Field(default=None, description="as for a file")


class Kubeconfig(Model):
    """A kubeconfig of an identity, with an API server address that the service can reach.

    It refers to a token file beside it, with the same name and the suffix `.token`. envkit renews the token in that
    file.
    """

    identity: Name = Field(description="name of one of `cluster.identities`; it must have a token")
    path: Path = Field(default="/etc/kubernetes/kubeconfig", description="absolute path in the container")
    owner: Owner | None = Field(default=None, description="as for a file")


def _generated(value: Any) -> Any:
    """Return the long form of a secret: in `{a: text}` the text is the value; for `{a: {}}` envkit generates one."""
    return {"value": value} if isinstance(value, str | int | float) and not isinstance(value, bool) else value


class Secret(Model):
    """A value that envkit never shows.

    The configuration gives it, preferably from a variable, or envkit generates it at the first `up` and keeps it until
    `down`.
    """

    value: Text | None = Field(default=None, repr=False, description="the text itself, for example `${VARIABLE}`")
    length: int = Field(default=32, ge=16, le=256, description="length of a generated value, in letters and digits")


SecretField = Annotated[Secret, BeforeValidator(_generated, json_schema_input_type=Secret | str | int | float)]
"""A secret, or its value as the short form."""


def _files(value: Any) -> Any:
    """Return a mapping such as `{/etc/x: {content: ...}}` as a list; in a mapping, layers can change single files."""
    if not isinstance(value, dict):
        return value
    wrong = [str(path) for path in value if not str(path).startswith("/")]
    if wrong:
        raise ValueError(f"expected absolute paths as keys; found {', '.join(wrong)}")
    return [{**file, "path": path} if isinstance(file, dict) else file for path, file in value.items()]


Files = Annotated[tuple[File, ...], BeforeValidator(_files, json_schema_input_type=tuple[File, ...] | dict[Path, File])]


def _certificates(value: Any) -> Any:
    return [value] if isinstance(value, str | dict) else value


def _certificate(value: Any) -> Any:
    return {"folder": value} if isinstance(value, str) else value


Certificates = Annotated[
    tuple[Annotated[Certificate, BeforeValidator(_certificate, json_schema_input_type=Certificate | str)], ...],
    BeforeValidator(_certificates, json_schema_input_type=Certificate | str | tuple[Certificate | str, ...]),
]
"""One certificate or a list of them; the folder is the short form of a certificate."""


def _kubeconfig(value: Any) -> Any:
    return {"identity": value} if isinstance(value, str) else value


KubeconfigField = Annotated[
    Kubeconfig | None, BeforeValidator(_kubeconfig, json_schema_input_type=Kubeconfig | str | None)
]
"""A kubeconfig, or the identity's name as the short form."""
