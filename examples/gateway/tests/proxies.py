"""Proxies that simulate faults of shared servers for a single test."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import urllib3


class Line:
    """A TCP proxy. `cut` closes all connections and refuses new ones; `hold` accepts them but forwards nothing."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._through = threading.Event()
        self._through.set()
        self.waiting = False
        """Whether data has arrived since `hold`."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Simulate a dead server: close its port."""
        self._end(self._listener)
        with self._lock:
            for one in self._open:
                self._end(one)
            self._open.clear()

    def mend(self) -> None:
        """Simulate the restart of the server: open its port again."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def hold(self) -> None:
        """Simulate a stopped server (SIGSTOP, a paused container)."""
        self._through.clear()

    def resume(self) -> None:
        """Continue after `hold`, and forward the data that has arrived since."""
        self._through.set()

    def close(self) -> None:
        self.resume()
        self.cut()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(self._target, timeout=10)
                far.settimeout(None)
                with self._lock:
                    self._open += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self.waiting = self.waiting or not self._through.is_set()
                self._through.wait()
                sink.sendall(data)
        self._end(source)
        self._end(sink)

    @staticmethod
    def _end(one: socket.socket) -> None:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


class Throttle:
    """A proxy of the API server: it answers 429 to the next `refuse` creations of requests and forwards the rest."""

    def __init__(self, url: str, ca: str) -> None:
        context = ssl.create_default_context(cadata=ca or None)
        self._pool = urllib3.PoolManager(ssl_context=context, retries=False, timeout=10, maxsize=32)
        self._target, self._lock = url, threading.Lock()
        self.refuse = self.refused = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._pool.clear()

    def refuses(self, path: str) -> bool:
        """Return whether to refuse this call."""
        with self._lock:
            if self.refuse <= 0 or not path.endswith("/remediationrequests"):
                return False
            self.refuse -= 1
            self.refused += 1
            return True

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        door = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if door.refuses(self.path):
                    self._send(429, b'{"message": "Too many requests, please try again later."}')
                    return
                names = ("Authorization", "Content-Type")
                words = {name: value for name in names if (value := self.headers.get(name))}
                answer = door._pool.request(self.command, door._target + self.path, body=body or None, headers=words)
                self._send(answer.status, answer.data)

            def do_GET(self) -> None:
                self.do_POST()

            def _send(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        return Handler
