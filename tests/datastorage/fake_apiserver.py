"""A fake API server with TokenReview and SubjectAccessReview, over plain HTTP on loopback."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: test
contexts: [{{name: test, context: {{cluster: test, user: test}}}}]
clusters: [{{name: test, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
users: [{{name: test, user: {{tokenFile: token}}}}]
"""


class FakeApiServer:
    """The fake server. Token ``good`` has all rights, ``reader`` only get; every other token is invalid."""

    def __init__(self) -> None:
        self.reviews: list[tuple[str, dict[str, Any]]] = []
        self.identities: list[str] = []
        self.delay = 0.0
        self.status = 201
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.identities.append(self.headers["Authorization"])
                outer.reviews.append((body["kind"], body["spec"]))
                time.sleep(outer.delay)
                content = json.dumps(body | {"status": outer.review(body["kind"], body["spec"])}).encode()
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                pass  # the client has closed the connection after its timeout

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def review(self, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
        if kind == "TokenReview":
            known = spec["token"] in ("good", "reader")
            user = {"username": f"system:serviceaccount:default:{spec['token']}", "groups": ["system:authenticated"]}
            return {"authenticated": known} | ({"user": user} if known else {"error": "unknown"})
        allowed = spec["user"].endswith(":good") or spec["resourceAttributes"]["verb"] == "get"
        return {"allowed": allowed}

    def kubeconfig(self, folder: Path, identity: str = "me") -> Path:
        (folder / "token").write_text(f"{identity}\n")
        path = folder / "kubeconfig"
        path.write_text(KUBECONFIG.format(port=self.port))
        return path

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
