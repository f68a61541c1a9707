"""`deadline.Plug` for TLS, apart from it: `import ssl` takes 0.01 s that a probe of Redis does not need."""

from __future__ import annotations

import ssl
from typing import Any

from envkit.deadline import Deadline


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
