import os
import socket


def test_redis_is_there():
    host, _, port = os.environ["REDIS_ADDR"].rpartition(":")
    socket.create_connection((host, int(port)), timeout=5).close()
