"""A minimal client of PostgreSQL's protocol (version 3) for probes: logs in, sends one query, reads the answer.

All other code uses pg8000. Importing pg8000 takes 0.1 s. This is a sixth of the time limit for an `up` with nothing to
do. If a server requires something that this client lacks, the probe uses pg8000.
"""

from __future__ import annotations

import struct
from base64 import b64decode, b64encode
from typing import IO, Any

from envkit.base.deadline import Deadline, dial
from envkit.drivers.databases.login import Login
from envkit.drivers.databases.sql import OURS, SqlError, encrypted, sentence

LONGEST = 1 << 24
"""Longest message in bytes; a longer message means that the server uses another protocol."""

MOST_ROUNDS = 1_000_000
"""Largest number of SCRAM rounds that the client accepts; PostgreSQL's default is 4,096.

So many rounds take 0.3 s, and a deadline cannot stop the computation.
"""

OK, PASSWORD, SASL, SASL_CONTINUE, SASL_FINAL = 0, 3, 10, 11, 12
"""Kinds of authentication messages; see https://www.postgresql.org/docs/current/protocol-message-formats.html."""

SCRAM = "SCRAM-SHA-256"


class Unsupported(Exception):
    """The server requires something that this client lacks; pg8000 can perhaps do it."""


def ask(login: Login, host: str, port: int, deadline: Deadline) -> bool:
    """Log in, run the probe's query, and return whether the user is a superuser; the deadline limits all of this.

    Raises `Unsupported` if the server requires another kind of login, and `SqlError` for every other error.
    """
    try:
        with dial(host, port, deadline) as plain, encrypted(plain) as plug:
            stream: IO[bytes] = plug.makefile("rwb")  # type: ignore[assignment]  # typed as narrower than it is
            with stream:
                superuser = _log_in(stream, login)
                _query(stream, login.query)
                _send(stream, b"X", b"")
                return superuser
    except (OSError, ValueError, struct.error) as error:
        raise SqlError(str(error) or type(error).__name__) from error


def _log_in(stream: IO[bytes], login: Login) -> bool:
    """Log in and return whether the user is a superuser; the server reports that after every login."""
    words = ("user", login.user, "database", login.database, "application_name", OURS, "client_encoding", "UTF8")
    _send(stream, b"", struct.pack("!i", 3 << 16) + b"".join(word.encode() + b"\0" for word in words) + b"\0")
    secret, superuser = _Secret(login.password), False
    while True:
        kind, body = _message(stream)
        if kind == b"Z":
            return superuser
        if kind == b"S" and body.startswith(b"is_superuser\0"):
            superuser = body == b"is_superuser\0on\0"
        if kind == b"R":
            answer = _authentication(secret, body)
            if answer is not None:
                _send(stream, b"p", answer)


def _authentication(secret: _Secret, body: bytes) -> bytes | None:
    """Return the answer to an authentication message, or None if the server does not expect an answer."""
    way, rest = struct.unpack("!i", body[:4])[0], body[4:]
    if way == OK:
        return None
    if way == PASSWORD:
        return secret.password.encode() + b"\0"
    if way == SASL and SCRAM.encode() in rest.split(b"\0") and secret.password.isascii():
        first = secret.first()
        return SCRAM.encode() + b"\0" + struct.pack("!i", len(first)) + first
    if way == SASL_CONTINUE:
        return secret.proof(rest.decode())
    if way == SASL_FINAL:
        secret.check(rest.decode())
        return None
    raise Unsupported


class _Secret:
    """The client's part of SCRAM-SHA-256 (RFC 5802, RFC 7677); the server must also prove that it has the password."""

    def __init__(self, password: str) -> None:
        self.password = password
        self._bare = ""
        self._expected = b""

    def first(self) -> bytes:
        """Return the first message, a random nonce. It has no user name, because PostgreSQL already has the name."""
        import secrets

        self._bare = f"n=,r={secrets.token_urlsafe(18)}"
        return f"n,,{self._bare}".encode()

    def proof(self, challenge: str) -> bytes:
        """Return the answer to the server's challenge. Raises `SqlError` if the challenge is not valid."""
        import hashlib
        import hmac

        said = _fields(challenge)
        nonce, salt, rounds = said.get("r", ""), said.get("s", ""), int(said.get("i", "0"))
        if not nonce.startswith(self._bare[len("n=,r=") :]):
            raise SqlError("the server's answer does not belong to this login")
        if rounds > MOST_ROUNDS:
            raise SqlError(f"the server requests {rounds} rounds of SCRAM, more than {MOST_ROUNDS}")
        key = hashlib.pbkdf2_hmac("sha256", self.password.encode(), b64decode(salt), rounds)
        client, server = (hmac.digest(key, word, "sha256") for word in (b"Client Key", b"Server Key"))
        final = f"c={b64encode(b'n,,').decode()},r={nonce}"
        talk = f"{self._bare},{challenge},{final}".encode()
        signature = hmac.digest(hashlib.sha256(client).digest(), talk, "sha256")
        self._expected = hmac.digest(server, talk, "sha256")
        proof = bytes(mine ^ theirs for mine, theirs in zip(client, signature, strict=True))
        return f"{final},p={b64encode(proof).decode()}".encode()

    def check(self, final: str) -> None:
        """Raise `SqlError` if the server's final message does not prove that the server has the password."""
        import hmac

        if not hmac.compare_digest(b64decode(_fields(final).get("v", "")), self._expected):
            raise SqlError("the server did not prove that it has the password")


def _fields(said: str) -> dict[str, str]:
    return {name: value for name, _, value in (part.partition("=") for part in said.split(","))}


def _query(stream: IO[bytes], query: str) -> None:
    _send(stream, b"Q", query.encode() + b"\0")
    while _message(stream)[0] != b"Z":
        pass


def _send(stream: IO[bytes], kind: bytes, body: bytes) -> None:
    stream.write(kind + struct.pack("!i", len(body) + 4) + body)
    stream.flush()


def _message(stream: IO[bytes]) -> tuple[bytes, bytes]:
    """Return the kind and the content of the next message.

    Raises `SqlError` if the server reports an error, closes the connection, or uses another protocol.
    """
    head = _exactly(stream, 5)
    kind, length = head[:1], int(struct.unpack("!i", head[1:])[0]) - 4
    if not 0 <= length <= LONGEST:
        raise SqlError(f"not PostgreSQL's protocol: {head!r}")
    body = _exactly(stream, length)
    if kind == b"E":
        parts: list[Any] = [part for part in body.decode(errors="replace").split("\0") if part]
        raise SqlError(sentence({part[0]: part[1:] for part in parts}))
    return kind, body


def _exactly(stream: IO[bytes], length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise SqlError("the connection was closed before an answer")
    return data
