"""Describes an API server without nodes: etcd, kube-apiserver and the necessary controllers, as ordinary services.

envtest, the test environment of controller-runtime, runs only etcd and kube-apiserver. envkit adds the controllers for
namespaces, service accounts and garbage collection: they delete namespaces, create `default` ServiceAccounts, and make
owner references work. All connections use TLS, etcd requires client certificates, and anonymous access is off.

There are three CAs. The environment's own CA signs the certificates of servers; suites and services trust it.
The second CA signs the certificates of the API server's clients. The third CA signs only certificates for etcd, because
etcd has no RBAC and trusts every client of its CA.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envkit.base.kubeconfig import Access, render
from envkit.base.paths import Paths, write_private
from envkit.config.images import substitute
from envkit.config.models import Cluster, Environment, File, Port, Process, Service
from envkit.config.names import APISERVER, CONTROLLERS, ETCD
from envkit.drivers.clusters.pki import Pki
from envkit.drivers.probes.tcp import TcpProbe
from envkit.drivers.supply.kubernetes_flags import without_refused

ETCD_IMAGE = "registry.k8s.io/etcd:3.5.21-0"
KUBERNETES_IMAGE = "registry.k8s.io/{program}:v{version}"
DEFAULT_KUBERNETES = "1.34.0"

CONTROLLED = "namespace,serviceaccount,garbagecollector,root-ca-cert-publisher,serviceaccount-token"

WITHOUT_CONTROLLERS = (
    "deleted namespaces stay Terminating, new ones get no ServiceAccount `default`, "
    "and objects remain when their owner is deleted"
)
"""The text about what does not work without kube-controller-manager, for example on macOS."""

HASTE = 0.2
"""The grace period in seconds of kube-apiserver and the controllers. They would wait until every watch is closed, and
they have no data to save."""


@dataclass(frozen=True)
class Envtest:
    """The API server of one environment: its certificates, kubeconfigs and services."""

    environment: Environment
    paths: Paths
    make: bool = True

    @property
    def pki(self) -> Pki:
        """The environment's own CA and its certificates."""
        return Pki(self.paths.folder / "pki", self.make)

    @property
    def clients(self) -> Pki:
        """The CA for the certificates of the API server's clients."""
        return self.pki.apart("clients")

    @property
    def etcd(self) -> Pki:
        """The CA that etcd trusts. It signs the certificates of etcd and of etcd's only client, the API server."""
        return self.pki.apart("etcd")

    def services(self) -> dict[str, Service]:
        """Return the parts as services, by their names. Makes missing certificates if `make` is true."""
        cluster = self.environment.cluster
        made = {ETCD: self._etcd(cluster), APISERVER: self._apiserver(cluster), CONTROLLERS: self._controllers(cluster)}
        return {name: part.model_copy(update={"part_of_cluster": True}) for name, part in made.items()}

    def write_kubeconfig(self, port: int) -> None:
        """Write the administrator's kubeconfig for this host, mode 0600."""
        write_private(self.paths.kubeconfig, self._kubeconfig(f"https://127.0.0.1:{port}", "admin", "system:masters"))

    def _kubeconfig(self, server: str, user: str, group: str) -> str:
        self._serving()  # also makes the CA, which the client must trust
        certificate, key = self.clients.client(user, user, group)
        access = Access(
            server=server, ca=self.pki.ca.read_text(), certificate=certificate.read_text(), key=key.read_text()
        )
        return render(access, self.environment.name)

    def _serving(self) -> tuple[Path, Path]:
        return self.pki.server(APISERVER, ["127.0.0.1", "localhost", APISERVER, "kubernetes.default.svc", "10.0.0.1"])

    def _etcd(self, cluster: Cluster) -> Service:
        files = _files({ETCD: self.etcd.server(ETCD, ["127.0.0.1", ETCD, "localhost"]), "etcd-ca": (self.etcd.ca,)})
        pki = "${self.root}/pki"
        own = {"trusted-ca-file": f"{pki}/etcd-ca.crt", "cert-file": f"{pki}/etcd.crt", "key-file": f"{pki}/etcd.key"}
        command = [
            "etcd", "--data-dir=${self.data}", "--unsafe-no-fsync", "--log-level=warn",
            "--listen-client-urls=https://${self.listen}:${self.port}",
            "--advertise-client-urls=https://${self.host}:${self.port}",
            "--listen-peer-urls=https://127.0.0.1:0", "--initial-advertise-peer-urls=https://127.0.0.1:2380",
            "--initial-cluster=default=https://127.0.0.1:2380",  # the only member is etcd itself; no peer connects
            *(f"--{peer}client-cert-auth=true" for peer in ("", "peer-")),
            *(f"--{peer}{what}={file}" for peer in ("", "peer-") for what, file in own.items()),
        ]  # fmt: skip
        return Service(
            image=(ETCD_IMAGE,), entrypoint=("etcd",), command=tuple(command[1:]),
            process=Process(supply="etcd", command=tuple(command), path=cluster.programs, minimum=cluster.etcd),
            files=files, ports={"client": Port(container=2379, host="auto")}, probe=TcpProbe(type="tcp"),
        )  # fmt: skip

    def _apiserver(self, cluster: Cluster) -> Service:
        server, client = self._serving(), self.etcd.client("apiserver-etcd", "apiserver")
        files = _files({
            "apiserver": server, "apiserver-etcd": client, "accounts": self.pki.signing_key("accounts"),
            "etcd-ca": (self.etcd.ca,), "clients-ca": (self.clients.ca,),
        })  # fmt: skip
        pki = "${self.root}/pki"
        command = [
            "kube-apiserver", "--etcd-servers=https://${etcd.address}", f"--etcd-cafile={pki}/etcd-ca.crt",
            f"--etcd-certfile={pki}/apiserver-etcd.crt", f"--etcd-keyfile={pki}/apiserver-etcd.key",
            "--bind-address=${self.listen}", "--secure-port=${self.port}", "--insecure-port=0",
            "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
            f"--tls-cert-file={pki}/apiserver.crt", f"--tls-private-key-file={pki}/apiserver.key",
            f"--client-ca-file={pki}/clients-ca.crt", "--anonymous-auth=false", "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={pki}/accounts.pub",
            f"--service-account-signing-key-file={pki}/accounts.key",
            "--service-cluster-ip-range=10.0.0.0/24", "--allow-privileged=true", "--profiling=false",
            f"--max-requests-inflight={cluster.limits.inflight}",
            f"--max-mutating-requests-inflight={cluster.limits.mutating_inflight}",
            "--watch-cache=true", "--event-ttl=1h",
        ]  # fmt: skip
        port = Port(container=6443, host="auto")
        return self._kubernetes("kube-apiserver", command, files, cluster, port, (ETCD,))

    def _controllers(self, cluster: Cluster) -> Service:
        # This program's default role cannot delete objects in a namespace; an account for each controller takes longer.
        client = self.clients.client("controllers", "system:kube-controller-manager", "system:masters")
        config = File(path="/pki/kubeconfig", content=self._controller_config(*client), mode="0600")
        _, signing = self.pki.signing_key("accounts")
        files = (*_files({"controllers": client, "accounts": (signing,), "ca": (self.pki.ca,)}), config)
        command = [
            "kube-controller-manager", "--kubeconfig=${self.root}/pki/kubeconfig", f"--controllers={CONTROLLED}",
            "--leader-elect=false", "--controller-start-interval=0s", "--port=0", "--secure-port=0",
            "--service-account-private-key-file=${self.root}/pki/accounts.key",
            "--root-ca-file=${self.root}/pki/ca.crt", "--profiling=false",
            f"--kube-api-qps={cluster.limits.controller_qps}", f"--kube-api-burst={cluster.limits.controller_burst}",
        ]  # fmt: skip
        return self._kubernetes("kube-controller-manager", command, files, cluster, None, (APISERVER,))

    def _controller_config(self, certificate: Path, key: Path) -> str:
        """Return the controllers' kubeconfig. It contains the paths of certificates, which need not exist yet."""
        place = Access(server="https://${apiserver.address}")
        files = {"client-certificate": certificate, "client-key": key, "certificate-authority": self.pki.ca}
        named = {what: f"${{self.root}}/pki/{path.name}" for what, path in files.items()}
        return render(place, self.environment.name, files=named)

    def _kubernetes(
        self, program: str, command: Sequence[str], files: tuple[File, ...], cluster: Cluster, port: Port | None,
        needs: tuple[str, ...],
    ) -> Service:  # fmt: skip
        version = (cluster.kubernetes or DEFAULT_KUBERNETES).removeprefix("v")
        image = substitute(KUBERNETES_IMAGE.format(program=program, version=version), self.environment.images)
        process = Process(
            supply="kubernetes", command=tuple(command), path=cluster.programs, minimum=cluster.kubernetes
        )
        more: dict[str, Any] = {"ports": {"https": port}, "probe": TcpProbe(type="tcp")} if port else {}
        entrypoint, *words = without_refused(command, image.rpartition(":")[2])
        return Service(
            image=(image,), entrypoint=(entrypoint,), command=tuple(words), files=files, process=process, needs=needs,
            stop_timeout=HASTE, **more,
        )  # fmt: skip


def _files(named: Mapping[str, Sequence[Path]]) -> tuple[File, ...]:
    """Return each path as a file in `/pki`, with the name from `named` and the suffix of the path."""
    pairs = ((f"{name}{path.suffix}", path) for name, paths in named.items() for path in paths)
    return tuple(File(path=f"/pki/{name}", source=str(path), mode="0600") for name, path in pairs)


def with_parts(environment: Environment, parts: Mapping[str, Service]) -> Environment:
    """Return the environment with `parts` before its own services."""
    return environment.model_copy(update={"services": {**parts, **environment.services}})
