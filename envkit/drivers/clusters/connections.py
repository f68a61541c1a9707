"""Keeps HTTPS connections to an API server open. It uses `http.client`, because importing urllib3 takes 0.05 s."""

from __future__ import annotations

import os
import selectors
import socket
import ssl
import tempfile
import weakref
from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, urlsplit

from envkit.base.deadline import Deadline
from envkit.base.deadline_http import Answer, Connection, ask
from envkit.base.kubeconfig import Access

KEPT = 8
"""The largest number of idle connections to keep: one for each parallel caller."""

LARGEST = 1 << 28
"""The largest allowed answer in bytes. Even the lists of a large cluster are smaller; the limit stops a server that
sends without end."""

LEGAL = "/?:@!$&'()*+,;=%~"
"""The characters of a path and its query that `request` does not quote."""


class Connections:
    """A pool of connections to one API server.

    Several threads can use one pool. Each call has a connection for itself, an idle one if possible.
    """

    def __init__(self, access: Access) -> None:
        where = urlsplit(access.server)
        self._host, self._port = where.hostname or "", where.port or 443
        self._name = access.server_name or self._host
        self._context = _context(access)
        self._idle: deque[Connection] = deque()
        weakref.finalize(self, _close, self._idle)

    def request(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], seconds: float) -> Answer:
        """Make one call without repeating it; return the answer.

        Connecting, the TLS handshake, headers and body together have the limit `seconds`. Raises `OSError` or
        `http.client.HTTPException` if there is no answer.
        """
        connection = self._taken(seconds)
        try:
            got = ask(connection, method, quote(path, safe=LEGAL), body, headers, most=LARGEST)
        except BaseException:
            connection.close()
            raise
        if connection.sock is not None and len(self._idle) < KEPT:
            self._idle.append(connection)
        else:
            connection.close()
        return got

    def _taken(self, seconds: float) -> Connection:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return Connection(self._host, self._port, Deadline(seconds), self._context, self._name)
            if connection.sock is not None and not _readable(connection.sock):
                connection.deadline.renew(seconds)
                return connection
            connection.close()  # the server has closed it, or has sent data without a request


@lru_cache(maxsize=2)
def shared(access: Access) -> Connections:
    """Return the same pool for the same access, so that each step can use open connections of earlier steps."""
    return Connections(access)


def _close(idle: deque[Connection]) -> None:
    while idle:
        idle.pop().close()


def _readable(plug: socket.socket) -> bool:
    with selectors.DefaultSelector() as ready:
        ready.register(plug, selectors.EVENT_READ)
        return bool(ready.select(0))


def _context(access: Access) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=access.ca or None)
    if not access.verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if access.certificate:
        _load_chain(context, access.certificate + "\n" + access.key)
    return context


def _load_chain(context: ssl.SSLContext, chain: str) -> None:
    """Load a client certificate with its key from text.

    Python reads them from files only, so this writes a file of mode 0600 and removes it at once.
    """
    handle, name = tempfile.mkstemp(suffix=".pem")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(chain)
        context.load_cert_chain(name)
    finally:
        Path(name).unlink()
