"""Tests of the port check: whether a port is free, and which process or container holds it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from envkit.base.ports import Holder, accepts, bindable, holders, process_on

HOLD = """
import socket
held = socket.socket()
held.bind(("127.0.0.1", 0))
held.listen()
print(held.getsockname()[1], flush=True)
input()
"""


def listening(address: str = "127.0.0.1") -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # servers set this option too
    made.bind((address, 0))
    made.listen()
    return made


def test_a_free_port_is_bindable_and_accepts_nobody() -> None:
    with listening() as taken:
        port = taken.getsockname()[1]
        assert not bindable(port)
        assert accepts(port)

    assert bindable(port)
    assert not accepts(port)


def test_a_port_held_on_every_address_is_not_bindable() -> None:
    with listening("0.0.0.0") as taken:
        assert not bindable(taken.getsockname()[1])


def test_a_port_whose_connections_linger_is_free() -> None:
    """Connections in TIME_WAIT after a server's end do not block a new server."""
    with listening() as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            plug, _ = server.accept()
            plug.close()

    assert bindable(port)


def test_the_process_that_listens_is_named_with_pid_and_command() -> None:
    argv = [sys.executable, "-c", HOLD, "marker-of-this-test"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        port = int(holder.stdout.readline())
        found = process_on(port)
        holder.communicate("\n")

    assert (found.port, found.pid) == (port, holder.pid)
    assert str(found).startswith(f"process {holder.pid} (")
    assert sys.executable in found.command
    assert len(found.command) <= 120


def test_only_taken_ports_have_holders_and_containers_come_first() -> None:
    with listening() as mine, listening() as proxied:
        mine_port, proxied_port = mine.getsockname()[1], proxied.getsockname()[1]
        with listening() as gone:
            free = gone.getsockname()[1]

        found = holders(
            [mine_port, free, proxied_port, 4],
            {
                proxied_port: Holder(proxied_port, container="web"),
                4: Holder(4, container="not-bound-yet"),
            },
        )

    assert [(holder.port, holder.pid, holder.container) for holder in found] == [
        (mine_port, os.getpid(), ""),
        (proxied_port, 0, "web"),
        (4, 0, "not-bound-yet"),
    ]


def test_holders_are_told_for_people() -> None:
    assert str(Holder(1, container="web")) == "container web"
    assert str(Holder(1, 42, "redis-server *:6379")) == "process 42 (redis-server *:6379)"
    assert "another user" in str(Holder(1))
