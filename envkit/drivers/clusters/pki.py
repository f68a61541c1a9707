"""Makes the CA of one environment, and the certificates that this CA signs, as files in the state directory.

Each file is made once and has mode 0600. The keys are elliptic curve keys (P-256): a whole set takes a few
milliseconds; a set of RSA keys would take a second.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from envkit.base.paths import make_folder, write_private

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

LIFETIME = timedelta(days=365)
"""The time for which a certificate is valid. A user who keeps a state directory longer must remove it."""


@dataclass(frozen=True)
class Pki:
    """The CA and the certificates in one folder.

    The methods return the paths of a certificate and its key, and make the files that are missing. If `make` is false,
    they make no files, for commands that only read.
    """

    folder: Path
    make: bool = True

    @property
    def ca(self) -> Path:
        """The CA's certificate."""
        return self.folder / "ca.crt"

    def apart(self, purpose: str) -> Pki:
        """Return another CA, in the subfolder `purpose`.

        A server that trusts only the other CA rejects certificates of this CA.
        """
        return Pki(self.folder / purpose, self.make)

    def server(self, name: str, hosts: Sequence[str]) -> tuple[Path, Path]:
        """Return a certificate for a server with these host names and addresses; clients can use it too."""
        return self._leaf(name, name, "", hosts)

    def client(self, name: str, user: str, group: str = "") -> tuple[Path, Path]:
        """Return a certificate for a client that Kubernetes identifies as `user` in `group`."""
        return self._leaf(name, user, group, ())

    def signing_key(self, name: str) -> tuple[Path, Path]:
        """Return the paths of the public and the private key for signing tokens."""
        public, private = self.folder / f"{name}.pub", self.folder / f"{name}.key"
        with self._missing(public, private) as missing:
            if missing:
                from cryptography.hazmat.primitives import serialization

                key = _new_key()
                plain = serialization.PublicFormat.SubjectPublicKeyInfo
                write_private(public, key.public_key().public_bytes(serialization.Encoding.PEM, plain).decode())
                write_private(private, _pem(key))
        return public, private

    def _leaf(self, name: str, common: str, organization: str, hosts: Sequence[str]) -> tuple[Path, Path]:
        certificate, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        with self._missing(certificate, key, self.ca, self._ca_key) as missing:
            if missing:
                ca_certificate, ca_key = self._authority()
                made = _new_key()
                write_private(key, _pem(made))
                signed = _sign(made, _subject(common, organization), ca_certificate.subject, ca_key, hosts)
                write_private(certificate, _text(signed))
        return certificate, key

    @property
    def _ca_key(self) -> Path:
        return self.folder / "ca.key"

    @contextmanager
    def _missing(self, *paths: Path) -> Iterator[bool]:
        """Yield whether one of the files must be made.

        If so, this holds the folder's lock, because two processes could each make one half of a pair.
        """
        if not self.make or all(path.exists() for path in paths):
            yield False
            return
        from filelock import FileLock

        make_folder(self.folder)
        with FileLock(self.folder / ".lock", mode=0o600):
            yield not all(path.exists() for path in paths)

    def _authority(self) -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

        if not (self.ca.exists() and self._ca_key.exists()):
            for stale in self.folder.glob("*.crt"):
                stale.unlink()  # the CA that signed this certificate is lost
            made = _new_key()
            subject = _subject("envkit-ca", "")
            write_private(self._ca_key, _pem(made))
            write_private(self.ca, _text(_sign(made, subject, subject, made, None)))
        key = serialization.load_pem_private_key(self._ca_key.read_bytes(), None)
        assert isinstance(key, EllipticCurvePrivateKey)
        return x509.load_pem_x509_certificate(self.ca.read_bytes()), key


def _new_key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _pem(key: EllipticCurvePrivateKey) -> str:
    from cryptography.hazmat.primitives import serialization

    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def _text(certificate: x509.Certificate) -> str:
    from cryptography.hazmat.primitives import serialization

    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _subject(common: str, organization: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    names = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organization:
        names.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(names)


def _sign(
    key: EllipticCurvePrivateKey, subject: x509.Name, issuer: x509.Name, ca_key: EllipticCurvePrivateKey,
    hosts: Sequence[str] | None,
) -> x509.Certificate:  # fmt: skip
    """Return a certificate for `key` that `ca_key` signs; if `hosts` is None, it is a CA's certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID

    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=hosts is None, path_length=None), critical=True)
        .add_extension(_usage(authority=hosts is None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )
    if hosts is not None:
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
    return builder.sign(ca_key, hashes.SHA256())


def _usage(*, authority: bool) -> x509.KeyUsage:
    """Return the allowed uses of the key. Since version 3.13, Python rejects a CA certificate without them."""
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=authority, crl_sign=authority, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _host(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
