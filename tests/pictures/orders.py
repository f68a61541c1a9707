"""A suite for the picture of a failed run: its only check writes to Redis, stops it, and then fails to read."""

import os
import socket
import sys


def ask(words: str) -> bytes:
    """Send a command in Redis' protocol and return the answer."""
    with socket.create_connection((os.environ["REDIS_HOST"], int(os.environ["REDIS_PORT"])), 5) as server:
        server.sendall(f"{words}\r\n".encode())
        return server.recv(100)


if __name__ == "__main__":
    ask("SET order:1 paid")
    ask("SHUTDOWN NOSAVE")
    try:
        ask("GET order:1")
    except OSError as error:
        sys.exit(f"FAILED test_an_order_stays_paid: {error}")
