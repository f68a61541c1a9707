"""Read kubeconfig files to connect to a cluster, and write them for the host and for containers."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from envkit.base import bounded
from envkit.base.errors import ClusterError

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
# PyYAML's Python classes need 0.02 s for one kubeconfig; the C classes exist if PyYAML was built with libyaml


@dataclass(frozen=True)
class Access:
    """The address of an API server and the credentials for it; `repr` omits the secrets."""

    server: str
    ca: str = ""
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    verify: bool = True
    server_name: str = ""


def read(path: Path, context: str | None = None) -> Access:
    """Return the server address and the credentials of a kubeconfig file.

    Raises `ClusterError` if the file cannot be read, is incomplete, or uses a login plugin.
    """
    try:
        return parse(bounded.read_text(path), context=context, folder=path.parent)
    except OSError as error:
        raise ClusterError(f"the kubeconfig {path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, bounded.TooLarge) as error:
        raise ClusterError(f"the kubeconfig {path} cannot be read: {error}") from error


def parse(text: str, *, context: str | None = None, folder: Path = Path()) -> Access:
    """Return the server address and the credentials of `context`, or of the current context, in a kubeconfig's text.

    `folder` is the base of relative paths in the text. Raises `ClusterError` if the text is incomplete or uses a login
    plugin.
    """
    try:
        document = bounded.load(text, _LOADER) or {}
        chosen = _named(document, "contexts", context or document["current-context"])["context"]
        cluster = _named(document, "clusters", chosen["cluster"])["cluster"]
        user = _named(document, "users", chosen["user"]).get("user") or {}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ClusterError(f"the kubeconfig is not complete: {error}") from error
    if "exec" in user or "auth-provider" in user:
        raise ClusterError("the kubeconfig signs in with a plugin", hint="name one with a certificate or a token")
    return Access(
        server=str(cluster["server"]).rstrip("/"),
        ca=_material(cluster, "certificate-authority", folder),
        certificate=_material(user, "client-certificate", folder),
        key=_material(user, "client-key", folder),
        token=str(user.get("token") or _token_file(user, folder)),
        verify=not cluster.get("insecure-skip-tls-verify", False),
        server_name=str(cluster.get("tls-server-name", "")),
    )


def render(access: Access, name: str, namespace: str = "", files: Mapping[str, str] | None = None) -> str:
    """Return the text of a kubeconfig with one context called `name`.

    Certificates and keys are inline. With `files`, the kubeconfig refers to files instead: `files` maps
    `client-certificate`, `client-key` and `certificate-authority` to paths.
    """
    authority = {"certificate-authority-data": _encoded(access.ca)} if access.ca else {}
    user = _user(access)
    if files:
        user = {key: files[key] for key in ("client-certificate", "client-key")}
        authority = {"certificate-authority": files["certificate-authority"]}
    place = {"namespace": namespace} if namespace else {}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": access.server, **authority}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, **place}}],
        "current-context": name,
    }
    return yaml.dump(document, Dumper=_DUMPER, sort_keys=False)


def _user(access: Access) -> dict[str, str]:
    if access.token:
        return {"token": access.token}
    return {"client-certificate-data": _encoded(access.certificate), "client-key-data": _encoded(access.key)}


def _named(document: Mapping[str, Any], kind: str, name: str) -> dict[str, Any]:
    for entry in document.get(kind) or []:
        if entry["name"] == name:
            return dict(entry)
    raise ClusterError(f"the kubeconfig has no {kind[:-1]} {name!r}")


def _material(entry: Mapping[str, Any], key: str, folder: Path) -> str:
    if entry.get(f"{key}-data"):
        return base64.b64decode(entry[f"{key}-data"]).decode()
    return (folder / entry[key]).read_text() if entry.get(key) else ""


def _token_file(user: Mapping[str, Any], folder: Path) -> str:
    return (folder / user["tokenFile"]).read_text().strip() if user.get("tokenFile") else ""


def _encoded(pem: str) -> str:
    return base64.b64encode(pem.encode()).decode()
