"""HTTPS connections to one API server, kept open: `http.client`, which is there anyway, where urllib3 takes 0.05 s."""

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
"""Idle connections at the most: as many as ask at once."""

LARGEST = 1 << 28
"""Bytes of an answer: all that a large cluster lists, and no end."""

LEGAL = "/?:@!$&'()*+,;=%~"
"""What stays as it is in a path and its query."""


class Connections:
    """Safe for several threads: each call has a connection to itself, an idle one when there is one."""

    def __init__(self, access: Access) -> None:
        where = urlsplit(access.server)
        self._host, self._port = where.hostname or "", where.port or 443
        self._name = access.server_name or self._host
        self._context = _context(access)
        self._idle: deque[Connection] = deque()
        weakref.finalize(self, _close, self._idle)

    def request(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], seconds: float) -> Answer:
        """One call, never repeated; connection, TLS, headers and body have `seconds` together.

        Raises `OSError` or `http.client.HTTPException` when no answer came.
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
            connection.close()  # the server has closed it, or says what nobody asked for


@lru_cache(maxsize=2)
def shared(access: Access) -> Connections:
    """The same for the same access: a step finds connected what the one before has left."""
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
    """Python reads certificates from files only: one of mode 0600, for a moment."""
    handle, name = tempfile.mkstemp(suffix=".pem")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(chain)
        context.load_cert_chain(name)
    finally:
        Path(name).unlink()
