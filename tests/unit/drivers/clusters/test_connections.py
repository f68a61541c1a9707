"""Tests of connections to an API server that stay open.

The TLS server of these tests counts connections and closes them at chosen moments.
"""

from __future__ import annotations

import http.server
import json
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from envkit.base.kubeconfig import Access
from envkit.drivers.clusters.api import Api, Busy
from envkit.drivers.clusters.pki import Pki

FOUR = threading.Barrier(4)
"""The server answers `/together` only after four requests have arrived."""


class Server(http.server.ThreadingHTTPServer):
    """A TLS server that answers each request with the number of its connection.

    `/slow` delays the answer, `/together` waits for four requests, `/bye` closes the connection after the answer
    without notice.
    """

    daemon_threads = True
    connections = 0

    def process_request(self, request: object, client_address: object) -> None:
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, _request: object, _client: object) -> None:
        """Ignore clients that close their connection, because the tests close connections on purpose."""


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/slow":
            time.sleep(0.5)
        if self.path == "/together":
            FOUR.wait(20)
        body = json.dumps({"port": self.client_address[1], "path": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = self.path == "/bye"

    def do_POST(self) -> None:
        said = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(429)
        self.send_header("Retry-After", "3")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_words: object) -> None:
        """Print no access log."""


@contextmanager
def serving(pki: Pki, *hosts: str) -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate, key = pki.server("apiserver", hosts)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def api(server: Server, pki: Pki, name: str = "") -> Api:
    return Api(Access(f"https://127.0.0.1:{server.server_port}", ca=pki.ca.read_text(), server_name=name), seconds=5)


def test_one_after_the_other_share_a_connection_and_those_at_once_have_one_each(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    with serving(pki, "127.0.0.1") as server:
        asked = api(server, pki)
        assert len({asked.ask("GET", f"/{number}")["port"] for number in range(5)}) == 1
        assert server.connections == 1

        with ThreadPoolExecutor(4) as pool:
            asking = pool.map(lambda _: asked.request("GET", "/together", seconds=20.0), range(4))
            ports = {got.body["port"] for got in asking}

        assert len(ports) == server.connections == 4


def test_a_connection_that_the_server_has_closed_is_not_used_again(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    with serving(pki, "127.0.0.1") as server:
        asked = api(server, pki)
        first = asked.ask("GET", "/bye")["port"]
        time.sleep(0.1)

        assert asked.ask("GET", "/")["port"] != first


def test_what_an_answer_says_is_heard_and_odd_words_arrive(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    with serving(pki, "127.0.0.1") as server:
        asked = api(server, pki)
        with pytest.raises(Busy, match="later") as busy:
            asked.ask("POST", "/", {"message": "later"})

        assert busy.value.after == 3.0
        assert asked.ask("GET", "/a b?x=ä&y=%2F")["path"] == "/a%20b?x=%C3%A4&y=%2F"


def test_silence_ends_in_time_and_the_connection_is_not_kept(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    with serving(pki, "127.0.0.1") as server:
        asked = api(server, pki)
        with pytest.raises(Busy, match=r"no answer: .*timed out"):
            asked.request("GET", "/slow", seconds=0.1)

        assert asked.ask("GET", "/after")["path"] == "/after"


def test_the_certificate_must_be_of_our_ca_and_for_the_name(tmp_path: Path) -> None:
    pki, others = Pki(tmp_path / "ours"), Pki(tmp_path / "others")
    others.server("apiserver", ["apiserver.example"])
    with serving(pki, "apiserver.example") as server:
        assert api(server, pki, "apiserver.example").ask("GET", "/")["path"] == "/"
        with pytest.raises(Busy, match=r"certificate is not valid for '127\.0\.0\.1'"):
            api(server, pki).ask("GET", "/")
        with pytest.raises(Busy, match="certificate verify failed"):
            api(server, others, "apiserver.example").ask("GET", "/")


def test_nobody_there_is_told_as_no_answer(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    with serving(pki, "127.0.0.1") as server:
        gone = api(server, pki)

    with pytest.raises(Busy, match=r"GET /: no answer: .*refused"):
        gone.ask("GET", "/")
