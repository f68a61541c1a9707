"""Tests of the connection from services to this host: the address they call and the address a listener binds.

Both depend on the network between them.
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from envkit.base import kubeconfig
from envkit.base.errors import EnvkitError
from envkit.base.kubeconfig import Access
from envkit.base.paths import write_private
from envkit.drivers.engine.discovery import in_machine
from envkit.drivers.engine.endpoint import Endpoint
from envkit.drivers.runtimes.fake import FakeEngine
from envkit.drivers.runtimes.this_host import outward, this_host
from envkit.operations.host_access import ADDRESS, CERTIFICATES, LISTEN
from envkit.planning import desired
from envkit.planning.values import ThisHost
from tests.support.fake_session import opened
from tests.support.operations import variables
from tests.unit.wants import environment

DOCKER = Endpoint("docker", "unix:///run/some.sock", "27", "a test")
PODMAN = Endpoint("podman", "unix:///run/some.sock", "5", "a test")


def gateway() -> str:
    return "172.18.0.1"


def variant(endpoint: Endpoint, **fields: object) -> Endpoint:
    return Endpoint(**{**vars(endpoint), **fields})


@pytest.mark.parametrize(
    ("endpoint", "address", "listen"),
    [
        (None, "127.0.0.1", "127.0.0.1"),
        (DOCKER, "172.18.0.1", "172.18.0.1"),
        (PODMAN, "172.18.0.1", "172.18.0.1"),
        (variant(DOCKER, machine=True), "host.docker.internal", "127.0.0.1"),
        (variant(PODMAN, machine=True, rootless=True), "host.containers.internal", "127.0.0.1"),
        (variant(DOCKER, url="tcp://10.0.0.7:2376"), "", ""),
    ],
)
def test_what_is_called_and_where_to_listen(endpoint: Endpoint | None, address: str, listen: str) -> None:
    assert this_host(endpoint, gateway) == ThisHost(address, listen)


def test_a_rootless_engine_reaches_the_outward_address_only() -> None:
    own = outward()
    if own:
        with socket.create_server((own, 0)):
            assert own != "127.0.0.1"
    assert this_host(variant(DOCKER, rootless=True), gateway) == ThisHost(own, own)
    assert this_host(variant(PODMAN, rootless=True), gateway) == ThisHost(
        "host.containers.internal" if own else "", own
    )


def test_engines_in_virtual_machines_are_told_apart() -> None:
    assert in_machine({"Platform": {"Name": "Docker Desktop 4.27.2 (137060)"}}, "linux")
    assert in_machine({"Platform": {"Name": "Docker Engine - Community"}}, "darwin")
    assert not in_machine({"Platform": {"Name": "Docker Engine - Community"}}, "linux")
    assert not in_machine({}, "linux")


def test_services_are_told_and_not_replaced_for_another_address(tmp_path: Path) -> None:
    found = environment({"a": {"env": {"HOOK": "http://${host.address}:9"}}})
    session = opened(found, tmp_path, FakeEngine())
    session.networks.create("t", session.claim.owner)

    service = desired.resolve_to_start(found, "a", session.paths, session.this_host)
    assert service.env["HOOK"] == "http://172.18.0.1:9"
    assert desired.resolve_for_plan(found, "a", session.paths).env["HOOK"] == "http://<host.address>:9"
    with pytest.raises(EnvkitError, match="no known way to this host"):
        desired.resolve_to_start(found, "a", session.paths, ThisHost)


def test_the_certificate_is_for_the_address_and_follows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = opened(environment({}, cluster="kind"), tmp_path, FakeEngine())
    assert variables(session) == {}, "there is no network yet"
    session.networks.create("t", session.claim.owner)
    assert variables(session) == {ADDRESS: "172.18.0.1", LISTEN: "172.18.0.1"}, "there is no cluster yet"

    write_private(session.paths.kubeconfig, kubeconfig.render(Access("https://127.0.0.1:4711"), "x"))
    folder = Path(variables(session)[CERTIFICATES])
    names = names_of(folder)
    assert names >= {"172.18.0.1", "host.docker.internal", "localhost", "127.0.0.1"}
    assert oct((folder / "tls.key").stat().st_mode & 0o777) == "0o600"

    before = (folder / "tls.crt").read_text()
    assert variables(session)[CERTIFICATES] == str(folder) and (folder / "tls.crt").read_text() == before
    monkeypatch.setattr(session.drivers.backend, "this_host", lambda: ThisHost("172.19.0.1", "172.19.0.1"))
    variables(session)
    assert "172.19.0.1" in names_of(folder)


def names_of(folder: Path) -> set[str]:
    """Return the names and addresses of the certificate.

    The handshake also proves that its CA signed it and that its key fits it.
    """
    server, trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=str(folder / "ca.crt"))
    server.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    ours, theirs = (ssl.MemoryBIO() for _ in range(2))
    far = server.wrap_bio(ours, theirs, server_side=True)
    near = trust.wrap_bio(theirs, ours, server_hostname="host.docker.internal")
    for end in (near, far, near, far):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return {str(value) for _, value in near.getpeercert()["subjectAltName"]}  # type: ignore[index,str-unpack]  # a tuple of pairs
