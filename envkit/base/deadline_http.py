"""HTTP by `http.client` over sockets that keep to one deadline, with a bound for the body."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message

from envkit.base.deadline import Deadline, dial, dial_unix

SMALL = 1 << 20
"""Bytes of a body that is read for a probe or a message."""


@dataclass(frozen=True)
class Answer:
    """An answer, read to its end or to the bound."""

    status: int
    data: bytes
    headers: Message


class Connection(http.client.HTTPConnection):
    """To a host and port, with TLS where there is a context; renew the deadline for each further request."""

    def __init__(
        self, host: str, port: int, deadline: Deadline, context: ssl.SSLContext | None = None, name: str = ""
    ) -> None:
        super().__init__(host, port)
        self.deadline, self._context, self._tls_name = deadline, context, name or host
        self.default_port = 443 if context else 80

    def connect(self) -> None:
        """Within the deadline, the handshake too."""
        plain = dial(self.host, self.port, self.deadline)
        if self._context is None:
            self.sock = plain
            return
        from envkit.base.deadline_tls import encrypted

        try:
            self.sock = encrypted(plain, self._context, self._tls_name)
        except BaseException:
            plain.close()
            raise


class UnixConnection(http.client.HTTPConnection):
    """To a unix socket."""

    def __init__(self, path: str, deadline: Deadline) -> None:
        super().__init__("localhost")
        self._path, self.deadline = path, deadline

    def connect(self) -> None:
        """Within the deadline."""
        self.sock = dial_unix(self._path, self.deadline)


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: str | bytes | None = None,
    headers: Mapping[str, str] | None = None, *, most: int = SMALL, cut: bool = False,
) -> Answer:  # fmt: skip
    """One request and its answer.

    A body of more than `most` bytes is `HTTPException`, or with `cut` ends there. Raises `OSError` and `HTTPException`.
    """
    connection.request(method, path, body, dict(headers or {}))
    answer = connection.getresponse()
    data = answer.read(most)
    if not cut and not answer.isclosed() and answer.read(1):
        raise http.client.HTTPException(f"the answer has more than {most} bytes")
    return Answer(answer.status, data, answer.headers)
