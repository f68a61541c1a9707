"""`base.deadline.Plug` for TLS. It is a separate module because `import ssl` takes 0.01 s and Redis needs no TLS."""

from __future__ import annotations

import ssl
from typing import Any

from envkit.base.deadline import Deadline, Plug


class TlsPlug(ssl.SSLSocket):
    """A TLS socket that ends all reads and writes by its deadline.

    `deadline` is None during the handshake. The handshake has the timeout of the plain socket.
    """

    deadline: Deadline | None = None

    def read(self, *arguments: Any) -> Any:
        """Call `SSLSocket.read` within the deadline; `recv` and `recv_into` call this method."""
        if self.deadline is None:
            return super().read(*arguments)
        return self.deadline.wait(self, super().read, *arguments)

    def send(self, *arguments: Any) -> int:
        """Call `SSLSocket.send` within the deadline; `sendall` calls this method."""
        if self.deadline is None:
            return super().send(*arguments)
        return self.deadline.wait(self, super().send, *arguments)


def encrypted(plain: Plug, context: ssl.SSLContext, name: str | None = None) -> TlsPlug:
    """Return a TLS socket over the connection; its handshake and later traffic keep to the connection's deadline."""
    context.sslsocket_class = TlsPlug
    # bytes, because a str takes 3 ms more, see `deadline._addresses`
    known = name.encode() if name and name.isascii() else name
    plug = context.wrap_socket(plain, server_hostname=known)
    assert isinstance(plug, TlsPlug)
    plug.deadline = plain.deadline
    return plug
