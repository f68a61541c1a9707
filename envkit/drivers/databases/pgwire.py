"""PostgreSQL's protocol (version 3), just enough for a probe: log in, ask one thing, read the answer to its end.

pg8000 is the better client everywhere else; importing it takes 0.1 s, a sixth of what an `up` with nothing to do may
take in all. What is not understood here is left to it.
"""

from __future__ import annotations

import struct
from base64 import b64decode, b64encode
from typing import IO, Any

from envkit.base.deadline import Deadline, dial
from envkit.drivers.databases.login import Login
from envkit.drivers.databases.sql import OURS, SqlError, encrypted, sentence

LONGEST = 1 << 24
"""Bytes of one message; more is some other protocol's."""

MOST_ROUNDS = 1_000_000
"""Rounds of SCRAM, 0.3 s: PostgreSQL's default is 4,096, and no deadline ends a computation."""

OK, PASSWORD, SASL, SASL_CONTINUE, SASL_FINAL = 0, 3, 10, 11, 12
"""Kinds of authentication messages; see https://www.postgresql.org/docs/current/protocol-message-formats.html."""

SCRAM = "SCRAM-SHA-256"


class Unsupported(Exception):
    """Something that a whole client understands, and this one does not."""


def ask(login: Login, host: str, port: int, deadline: Deadline) -> bool:
    """Log in and have the probe's query answered, all of it within the deadline; whether the user is a superuser.

    Raises `SqlError` for everything that goes wrong, and `Unsupported` for another way to log in than these.
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
    """Whether the server reports the user as a superuser, which it does to everybody who logs in."""
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
    """What to say to it, None when nothing is expected."""
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
    """One side of SCRAM-SHA-256 (RFC 5802, RFC 7677); the server must prove that it knows the password as well."""

    def __init__(self, password: str) -> None:
        self.password = password
        self._bare = ""
        self._expected = b""

    def first(self) -> bytes:
        """The first message: a number nobody else has; PostgreSQL knows the user already."""
        import secrets

        self._bare = f"n=,r={secrets.token_urlsafe(18)}"
        return f"n,,{self._bare}".encode()

    def proof(self, challenge: str) -> bytes:
        """The answer to the server's challenge."""
        import hashlib
        import hmac

        said = _fields(challenge)
        nonce, salt, rounds = said.get("r", ""), said.get("s", ""), int(said.get("i", "0"))
        if not nonce.startswith(self._bare[len("n=,r=") :]):
            raise SqlError("the server's answer to the login is somebody else's")
        if rounds > MOST_ROUNDS:
            raise SqlError(f"the server asks for {rounds} rounds of SCRAM, more than {MOST_ROUNDS}")
        key = hashlib.pbkdf2_hmac("sha256", self.password.encode(), b64decode(salt), rounds)
        client, server = (hmac.digest(key, word, "sha256") for word in (b"Client Key", b"Server Key"))
        final = f"c={b64encode(b'n,,').decode()},r={nonce}"
        talk = f"{self._bare},{challenge},{final}".encode()
        signature = hmac.digest(hashlib.sha256(client).digest(), talk, "sha256")
        self._expected = hmac.digest(server, talk, "sha256")
        proof = bytes(mine ^ theirs for mine, theirs in zip(client, signature, strict=True))
        return f"{final},p={b64encode(proof).decode()}".encode()

    def check(self, final: str) -> None:
        """Raises `SqlError` when the server does not know the password."""
        import hmac

        if not hmac.compare_digest(b64decode(_fields(final).get("v", "")), self._expected):
            raise SqlError("the server does not know the password that it asks for")


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
    """Kind and content of the next message. Raises `SqlError` for one that tells of an error."""
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
