"""Files of a service: expands certificates, kubeconfigs and service accounts into files with content and mode."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from envkit.config.file_models import MOUNTED, OPEN, PRIVATE, File

if TYPE_CHECKING:
    from envkit.config.models import Certificate, Environment, Kubeconfig, Service
    from envkit.drivers.clusters.pki import Pki


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


def expand_files(service: Service, name: str, environment: Environment, pki: Pki) -> Service:
    """Return the service with its certificates, kubeconfig and ServiceAccount as files.

    A file in the configuration replaces a generated file of the same path. Makes missing certificates if `pki.make` is
    true.
    """
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
    """Yield three files: a certificate, its key, and the CA's certificate.

    The certificate's name in `pki` contains a digest of its hosts, because other hosts need another certificate.
    """
    hosts = list(dict.fromkeys([name, "localhost", "127.0.0.1", *wanted.hosts]))
    digest = hashlib.sha256(repr(hosts).encode()).hexdigest()[:8]
    certificate, key = pki.server(f"service-{name}-{digest}", hosts)
    for file, source, mode in (("tls.crt", certificate, OPEN), ("tls.key", key, PRIVATE), ("ca.crt", pki.ca, OPEN)):
        path = f"{wanted.folder.rstrip('/')}/{file}"
        yield File(path=path, source=str(source), mode=mode, owner=wanted.owner)


def _kubeconfig(wanted: Kubeconfig, environment: Environment) -> Iterator[File]:
    """Yield the kubeconfig and a separate file with the token.

    Kubernetes clients read a kubeconfig once, but they read a token file again and again, so they get a renewed token.
    """
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
