"""A server that accepts connections and never sends anything."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silent() -> Iterator[int]:
    """Yield the server's port.

    The kernel completes the connections, although the server accepts none. They close together with the server's
    socket.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]
