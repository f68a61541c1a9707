"""The files of a service: what its short forms stand for, and the text that each has in the end."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envkit.config.file_models import MOUNTED, File
from envkit.config.interpolate import REFERENCE
from envkit.config.words import SECRET
from envkit.errors import ConfigError, Fault
from envkit.services.references import Scope, names_in, resolve

if TYPE_CHECKING:
    from envkit.clusters.pki import Pki
    from envkit.config.models import Certificate, Environment, Kubeconfig, Service

PRIVATE, OPEN = "0600", "0644"

KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: {name}
contexts:
- name: {name}
  context: {{cluster: {name}, user: {name}, namespace: {namespace}}}
clusters:
- name: {name}
  cluster:
    server: ${{cluster.server}}
    certificate-authority-data: ${{cluster.ca|base64}}
users:
- name: {name}
  user: {{tokenFile: {file}}}
"""

_PORT = re.compile(r"(?:port|ports\.[\w-]+)")


def spelled_out(service: Service, name: str, environment: Environment, pki: Pki) -> Service:
    """The service with its certificates, kubeconfig and ServiceAccount among its files. Makes what `pki` may make."""
    files = [*service.files]
    for certificate in service.certificates:
        files += _certificate(certificate, name, pki)
    if service.kubeconfig:
        files += _kubeconfig(service.kubeconfig, environment)
    env = dict(service.env)
    if service.service_account:
        files += _mounted(service.service_account, environment)
        env = {"KUBERNETES_SERVICE_HOST": "${cluster.host}", "KUBERNETES_SERVICE_PORT": "${cluster.port}"} | env
    own = {file.path for file in service.files}
    kept = (file for index, file in enumerate(files) if index < len(own) or file.path not in own)
    return service.model_copy(update={"files": tuple(kept), "env": env})


def _certificate(wanted: Certificate, name: str, pki: Pki) -> Iterator[File]:
    """The file's name tells the hosts: other hosts are another certificate."""
    hosts = list(dict.fromkeys([name, "localhost", "127.0.0.1", *wanted.hosts]))
    digest = hashlib.sha256(repr(hosts).encode()).hexdigest()[:8]
    certificate, key = pki.server(f"service-{name}-{digest}", hosts)
    for file, source, mode in (("tls.crt", certificate, OPEN), ("tls.key", key, PRIVATE), ("ca.crt", pki.ca, OPEN)):
        path = f"{wanted.folder.rstrip('/')}/{file}"
        yield File(path=path, source=str(source), mode=mode, owner=wanted.owner)


def _kubeconfig(wanted: Kubeconfig, environment: Environment) -> Iterator[File]:
    """The token is in a file beside it: Kubernetes' clients read that one again and again, the kubeconfig once."""
    name = wanted.identity
    beside = f"{wanted.path}.token"
    content = KUBECONFIG.format(
        name=name, namespace=environment.cluster.identities[name].namespace, file=beside.rpartition("/")[2]
    )
    yield File(path=wanted.path, content=content, owner=wanted.owner, mode=OPEN)
    yield File(path=beside, content=f"${{identity.{name}.token}}", owner=wanted.owner)


def _mounted(identity: str, environment: Environment) -> Iterator[File]:
    namespace = environment.cluster.identities[identity].namespace
    yield File(path=f"{MOUNTED}/token", content=f"${{identity.{identity}.token}}")
    yield File(path=f"{MOUNTED}/ca.crt", content="${cluster.ca}", mode=OPEN)
    yield File(path=f"{MOUNTED}/namespace", content=namespace, mode=OPEN)


def resolved_file(file: File, scope: Scope) -> File:
    """The file with its text and its mode. Raises `ConfigError` when values cannot be laid over its document."""
    mode = file.mode or (PRIVATE if _is_private(file) else OPEN)
    content = None if file.content is None else resolve(file.content, scope)
    if not file.set:
        return file.model_copy(update={"content": content, "mode": mode})
    from envkit.services.documents import laid_over

    over = {path: resolved_value(value, scope) for path, value in file.set.items()}
    written = text_of(file) if content is None else content
    try:
        text = laid_over(written, over, file.source or file.path)
    except ValueError as error:
        raise ConfigError([Fault(file.source or file.path, "", str(error))]) from error
    return file.model_copy(update={"content": text, "source": None, "set": {}, "mode": mode})


def text_of(file: File) -> str:
    """What is written in it, before anything is laid over."""
    if file.content is not None:
        return file.content
    return Path(file.source).read_text(encoding="utf-8") if file.source else ""


def resolved_value(value: Any, scope: Scope) -> Any:
    """The value with its references resolved; what is the reference to a port and nothing else is a number."""
    if isinstance(value, dict):
        return {key: resolved_value(item, scope) for key, item in value.items()}
    if isinstance(value, list):
        return [resolved_value(item, scope) for item in value]
    if not isinstance(value, str):
        return value
    text = resolve(value, scope)
    alone = REFERENCE.fullmatch(value)
    return int(text) if alone and len(alone[1]) == 1 and _PORT.fullmatch(alone[2].partition(".")[2]) else text


def texts(value: Any) -> Iterator[str]:
    """Every text in it."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts(item)
    elif isinstance(value, str):
        yield value


def _is_private(file: File) -> bool:
    """Whether it refers to something that is not for everybody."""
    written = [*texts(file.set), file.content or ""]
    names = [name for text in written for name in names_in(text)]
    return any(_is_secret(*name.rpartition(".")[::2]) for name in names)


def _is_secret(head: str, last: str) -> bool:
    if head.startswith("identity."):
        return last != "token_file"
    return head == "secret" or bool(SECRET.search(last))
