"""Tests of certificates: a strict client accepts them for the hosts they name, and only the owner can read the keys."""

from __future__ import annotations

import multiprocessing
import socket
import ssl
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from envkit.drivers.clusters.pki import Pki


def handshake(pki: Pki, server_name: str, client: tuple[Path, Path] | None, authority: Path | None = None) -> str:
    """Return the user that the server sees; both sides verify each other as strictly as Python 3.13 does."""
    own = pki.server("server", ["127.0.0.1", "api", "localhost"])
    ours, theirs = socket.socketpair()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(pki.ca)
    context.load_cert_chain(*own)
    seen: list[str] = []

    def serve() -> None:
        with ours:
            try:
                with context.wrap_socket(ours, server_side=True) as plug:
                    subject = dict(pair for row in plug.getpeercert()["subject"] for pair in row)  # type: ignore[index,misc]  # tuples of pairs
                    seen.append(f"{subject['commonName']}/{subject.get('organizationName', '')}")
                    plug.sendall(b"!")
            except OSError:
                return

    worker = threading.Thread(target=serve)
    worker.start()
    asking = ssl.create_default_context(cafile=authority or pki.ca)
    asking.verify_flags |= ssl.VERIFY_X509_STRICT
    if client:
        asking.load_cert_chain(*client)
    try:
        with theirs, asking.wrap_socket(theirs, server_hostname=server_name) as plug:
            assert plug.recv(1) == b"!"
    finally:
        worker.join(10)
    return seen[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "api", "localhost"])
def test_server_and_client_believe_each_other(tmp_path: Path, host: str) -> None:
    pki = Pki(tmp_path)

    assert handshake(pki, host, pki.client("admin", "admin", "system:masters")) == "admin/system:masters"
    assert handshake(pki, host, pki.client("other", "system:somebody")) == "system:somebody/"


@pytest.mark.parametrize("host", ["127.0.0.2", "example.org"])
def test_a_host_that_is_not_named_is_not_believed(tmp_path: Path, host: str) -> None:
    pki = Pki(tmp_path)

    with pytest.raises(ssl.SSLCertVerificationError, match=r"mismatch|not valid"):
        handshake(pki, host, pki.client("admin", "admin"))


def test_nobody_comes_in_without_a_certificate_or_with_one_of_another_environment(tmp_path: Path) -> None:
    pki, other = Pki(tmp_path / "one"), Pki(tmp_path / "other")

    for client in (None, other.client("admin", "admin", "system:masters")):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            handshake(pki, "api", client)
    other.server("server", ["api"])
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(pki, "api", pki.client("admin", "admin"), authority=other.ca)


def test_everything_is_the_users_alone_and_stays_the_same(tmp_path: Path) -> None:
    pki = Pki(tmp_path / "pki")

    def all_of_it() -> dict[str, bytes]:
        pki.server("server", ["127.0.0.1"]), pki.client("client", "c"), pki.signing_key("accounts")
        return {path.name: path.read_bytes() for path in pki.folder.iterdir()}

    first = all_of_it()
    assert all_of_it() == first
    names = {"ca.crt", "ca.key", "server.crt", "server.key", "client.crt", "client.key", "accounts.pub", "accounts.key"}
    assert {*first} - {".lock"} == names
    for path in pki.folder.iterdir():
        assert oct(path.stat().st_mode & 0o777) == "0o600", path
    assert oct(pki.folder.stat().st_mode & 0o777) == "0o700"


def test_to_look_makes_nothing(tmp_path: Path) -> None:
    pki = Pki(tmp_path / "pki", make=False)

    assert pki.server("server", ["127.0.0.1"]) == (tmp_path / "pki/server.crt", tmp_path / "pki/server.key")
    assert pki.signing_key("accounts") == (tmp_path / "pki/accounts.pub", tmp_path / "pki/accounts.key")
    assert not pki.folder.exists()


def test_a_certificate_of_one_ca_opens_nothing_that_trusts_another_of_the_same_environment(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    etcd = pki.apart("etcd")
    other = pki.server("host", ["localhost"])
    assert handshake(etcd, "api", etcd.client("apiserver-etcd", "apiserver")) == "apiserver/"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(etcd, "api", other)
    assert etcd.ca.read_bytes() != pki.ca.read_bytes()


@pytest.mark.parametrize("lost", ["ca.crt", "ca.key", "server.crt", "server.key"])
def test_what_was_lost_is_made_again_so_that_all_fits(tmp_path: Path, lost: str) -> None:
    pki = Pki(tmp_path)
    handshake(pki, "api", pki.client("admin", "admin"))
    (tmp_path / lost).unlink()

    assert handshake(pki, "api", pki.client("admin", "admin")) == "admin/"


def test_the_ca_signs_and_the_others_do_not(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    certificate, _ = pki.server("server", ["127.0.0.1", "api"])
    for path, signs in ((pki.ca, True), (certificate, False)):
        read = x509.load_pem_x509_certificate(path.read_bytes())
        assert read.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is signs
        assert read.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign is signs
    names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["api"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert read.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "server"


def _make(folder: Path) -> None:
    pki = Pki(folder)
    pki.server("server", ["api"]), pki.client("admin", "admin")


def test_two_at_once_make_one_set(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    makers = [context.Process(target=_make, args=(tmp_path,)) for _ in range(3)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join(30)
        assert maker.exitcode == 0
    pki = Pki(tmp_path)
    assert handshake(pki, "api", pki.client("admin", "admin")) == "admin/"
