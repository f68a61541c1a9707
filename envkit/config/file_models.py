"""What is put into a service as files: the user's own, secrets, certificates, ways to the API server."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from envkit.config.fields import Mode, Model, Name, Owner, Strings, Text

MOUNTED = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where Kubernetes puts a pod's token, and where its clients look for one."""

PRIVATE, OPEN = "0600", "0644"
"""Modes of files: for the service's user alone, and for every user."""

Path = Annotated[str, Field(pattern=r"^/")]


class File(Model):
    """A file copied into the service before it starts: text, or one of the host, with keys changed; never a mount."""

    path: Path = Field(description="absolute path in the container")
    content: str | None = Field(default=None, description="the text, references resolved", repr=False)
    source: str | None = Field(default=None, description="a file of the host, relative to the configuration file")
    set: dict[str, Any] = Field(
        default={}, repr=False,
        description="values laid over the YAML or JSON of `source` or `content` (or over nothing) by dotted path, "
        "`database.host` or `servers.0.port`; references resolved",
    )  # fmt: skip
    mode: Mode | None = Field(
        default=None,
        description="octal; when absent 0600 for what refers to a secret, token or password, else 0644",
    )  # fmt: skip
    owner: Owner | None = Field(default=None, description="uid, or uid:gid; the service's own user when absent")

    @model_validator(mode="after")
    def _one_origin(self) -> File:
        if self.content is not None and self.source is not None:
            raise ValueError("expected exactly one of content and source")
        if self.content is None and self.source is None and not self.set:
            raise ValueError("expected one of content and source, or set")
        return self

    @property
    def permissions(self) -> int:
        """The mode as a number."""
        return int(self.mode or "0644", 8)


class Certificate(Model):
    """A certificate made for the service by the environment's own CA: tls.crt, tls.key and ca.crt in one folder."""

    folder: Path = Field(description="absolute path in the container")
    hosts: Strings = Field(
        default=(), description="names and addresses besides the service's name, localhost and 127.0.0.1"
    )
    owner: Owner | None = Field(default=None, description="as of a file")


class Kubeconfig(Model):
    """A kubeconfig of a named identity that works from where the service runs.

    It names a file beside it, of the same name and `.token`, where the token is renewed in place.
    """

    identity: Name = Field(description="one of `cluster.identities`, with a token")
    path: Path = Field(default="/etc/kubernetes/kubeconfig", description="absolute path in the container")
    owner: Owner | None = Field(default=None, description="as of a file")


def _generated(value: Any) -> Any:
    """`secrets: {a: text}` is a value; `secrets: {a: {}}` one to generate."""
    return {"value": value} if isinstance(value, str | int | float) and not isinstance(value, bool) else value


class Secret(Model):
    """A value that is not shown: given (by a variable, best), or generated at the first `up` and kept until `down`."""

    value: Text | None = Field(default=None, repr=False, description="the text itself, `${VARIABLE}` for example")
    length: int = Field(default=32, ge=16, le=256, description="of one that is generated: letters and digits")


SecretField = Annotated[Secret, BeforeValidator(_generated, json_schema_input_type=Secret | str | int | float)]
"""A secret, or short its value."""


def _files(value: Any) -> Any:
    """`files: {/etc/x: {content: ...}}`: by path, so that a later layer can change one of them."""
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
"""One or several; a folder alone will do."""


def _kubeconfig(value: Any) -> Any:
    return {"identity": value} if isinstance(value, str) else value


KubeconfigField = Annotated[
    Kubeconfig | None, BeforeValidator(_kubeconfig, json_schema_input_type=Kubeconfig | str | None)
]
"""The identity's name alone will do."""
