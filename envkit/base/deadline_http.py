"""HTTP with `http.client` over sockets that keep to one deadline, with a limit for the size of the body."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message

from envkit.base.deadline import Deadline, dial, dial_unix

SMALL = 1 << 20
"""Maximum size, in bytes, of a body that envkit reads for a probe or an error message."""


@dataclass(frozen=True)
class Answer:
    """An HTTP response, read to its end or to the size limit."""

    status: int
    data: bytes
    headers: Message


class Connection(http.client.HTTPConnection):
    """A connection to a host and port, with TLS if `context` is given.

    The caller renews the deadline before each further request. `name` is the server name for TLS, `host` by default.
    """

    def __init__(
        self, host: str, port: int, deadline: Deadline, context: ssl.SSLContext | None = None, name: str = ""
    ) -> None:
        super().__init__(host, port)
        self.deadline, self._context, self._tls_name = deadline, context, name or host
        self.default_port = 443 if context else 80

    def connect(self) -> None:
        """Connect, and do the TLS handshake if there is a context, within the deadline."""
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
    """A connection to a Unix socket."""

    def __init__(self, path: str, deadline: Deadline) -> None:
        super().__init__("localhost")
        self._path, self.deadline = path, deadline

    def connect(self) -> None:
        """Connect within the deadline."""
        self.sock = dial_unix(self._path, self.deadline)


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: str | bytes | None = None,
    headers: Mapping[str, str] | None = None, *, most: int = SMALL, cut: bool = False,
) -> Answer:  # fmt: skip
    """Send one request and return the response.

    If the body has more than `most` bytes, the function raises `HTTPException`, or with `cut` returns the first `most`
    bytes. Raises `OSError` and `HTTPException`.
    """
    connection.request(method, path, body, dict(headers or {}))
    answer = connection.getresponse()
    data = answer.read(most)
    if not cut and not answer.isclosed() and answer.read(1):
        raise http.client.HTTPException(f"the answer has more than {most} bytes")
    return Answer(answer.status, data, answer.headers)
