"""Make urllib3 apply one deadline to each whole request; urllib3's own timeouts limit each read separately."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from envkit.base.deadline import Deadline, Plug, dial
from envkit.base.deadline_tls import TlsPlug

Begin = Callable[[], Deadline]
"""A function that returns the deadline of a new request."""


class Timed:
    """Mixin for urllib3's connection classes: each request has a deadline that begins when it connects.

    If the connection is already open, the deadline begins with the request.
    """

    begin: Begin
    sock: Any
    deadline: Deadline | None = None

    def connect(self) -> None:
        """Connect, with a new deadline. urllib3 does the TLS handshake; the TLS socket then keeps to the deadline."""
        self.deadline = self.begin()
        super().connect()  # type: ignore[misc]  # the other base class defines it
        if type(self.sock).__name__ == "SSLSocket":
            self.sock.__class__ = TlsPlug
            self.sock.deadline = self.deadline

    def request(self, *arguments: Any, **more: Any) -> None:
        """Send a request. An open connection gets a new deadline; a new connection keeps the deadline of `connect`."""
        if self.deadline is None and self.sock is not None:
            self.deadline = self.sock.deadline = self.begin()
        super().request(*arguments, **more)  # type: ignore[misc]  # the other base class defines it
        self.deadline = None

    def _new_conn(self: Any) -> Plug:
        deadline = self.deadline or self.begin()
        patience = self.timeout if isinstance(self.timeout, int | float) else None
        try:
            plug = dial(self._dns_host, self.port, deadline.shorter(patience))
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"Connection to {self.host} timed out") from error
        except OSError as error:
            raise NewConnectionError(self, f"Failed to establish a new connection: {error}") from error
        plug.deadline = deadline
        return plug


def bounded(pool: urllib3.PoolManager, begin: Begin) -> urllib3.PoolManager:
    """Return the pool, changed so that its new connections keep to the deadlines that `begin` returns."""

    class Http(Timed, HTTPConnection):
        pass

    class Https(Timed, HTTPSConnection):
        pass

    class HttpPool(HTTPConnectionPool):
        ConnectionCls = Http

    class HttpsPool(HTTPSConnectionPool):
        ConnectionCls = Https

    Http.begin = Https.begin = staticmethod(begin)
    pool.pool_classes_by_scheme = {"http": HttpPool, "https": HttpsPool}
    return pool
