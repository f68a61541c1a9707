"""`base.deadline.Plug` for TLS, apart from it: `import ssl` takes 0.01 s that a probe of Redis does not need."""

from __future__ import annotations

import ssl
from typing import Any

from envkit.base.deadline import Deadline, Plug


class TlsPlug(ssl.SSLSocket):
    """A TLS socket whose reads and writes all end with its deadline. The handshake is over before it has one."""

    deadline: Deadline | None = None

    def read(self, *arguments: Any) -> Any:
        """As the socket's own, in time; `recv` and `recv_into` come through here."""
        if self.deadline is None:
            return super().read(*arguments)
        return self.deadline.wait(self, super().read, *arguments)

    def send(self, *arguments: Any) -> int:
        """As the socket's own, in time; `sendall` comes through here."""
        if self.deadline is None:
            return super().send(*arguments)
        return self.deadline.wait(self, super().send, *arguments)


def encrypted(plain: Plug, context: ssl.SSLContext, name: str | None = None) -> TlsPlug:
    """TLS over the connection; its handshake and all that is read and written after it keep to the same deadline."""
    context.sslsocket_class = TlsPlug
    known = name.encode() if name and name.isascii() else name  # bytes for the same reason as in `_addresses`
    plug = context.wrap_socket(plain, server_hostname=known)
    assert isinstance(plug, TlsPlug)
    plug.deadline = plain.deadline
    return plug
