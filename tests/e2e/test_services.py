"""Tests of a user's own services, in YAML alone: parts of an environment, and values that are hard to quote."""

from __future__ import annotations

import json
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support import ports
from tests.support.box import Small

pytestmark = pytest.mark.e2e

PYTHON = "docker.io/library/python:3.12-slim"
SERVER = """\
import http.server, json, os, urllib.request
CALLS = os.environ["CALLS"].split()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        told = os.stat("/etc/app/settings.json")
        body = json.dumps({
            "mode": oct(told.st_mode & 0o777), "uid": told.st_uid, "gid": told.st_gid, "me": os.getuid(),
            "settings": json.load(open("/etc/app/settings.json")), "greeting": os.environ["GREETING"],
            "peer": urllib.request.urlopen(os.environ["PEER"]).status, "cwd": os.getcwd(),
            "called": [urllib.request.urlopen(url, timeout=5).status for url in CALLS if self.path == "/"],
        }).encode()
        self.send_response(200); self.send_header("X-Seen", self.headers.get("X-Probe", "")); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
http.server.HTTPServer(("", 8080), Handler).serve_forever()
"""


@contextmanager
def listener(address: str, port: int) -> Iterator[None]:
    """Run the user's plain HTTP server on this host; the services call it."""
    with ThreadingHTTPServer((address, port), SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


def test_a_service_of_the_users_own(small: Small) -> None:
    peer, app, mine = ports.free(3)
    box = small(
        f"""
        cluster: none
        services:
          peer:
            image: {PYTHON}
            command: [python3, -m, http.server, "80"]
            ports: {{http: "{peer}:80"}}
            probe: {{type: http}}
          seed:
            image: {PYTHON}
            once: true
            needs: peer
            env: {{PEER: "http://${{peer.address}}/"}}
            command: [python3, -c, "import os, urllib.request as u; assert u.urlopen(os.environ['PEER']).status == 200"]
          note:
            once: true
            needs: peer
            env: {{PEER: "${{peer.address}}"}}
            host_command: [sh, -c, 'echo "$PEER" > note.txt']
          app:
            image: {PYTHON}
            user: "1001"
            workdir: /tmp
            command: [python3, /opt/server.py]
            needs: [peer, seed, note]
            env:
              GREETING: "it's $$5 & \\"more\\""
              PEER: "http://${{peer.address}}/"
              CALLS: "http://${{host.address}}:{mine}/ http://host.docker.internal:{mine}/"
            files:
              - {{path: /opt/server.py, source: server.py}}
              - path: /etc/app/settings.json
                content: '{{"peer": "${{peer.host}}:${{peer.port}}"}}'
                mode: "0600"
                owner: 1001
            ports: {{http: "{app}:8080"}}
            probe: {{type: http, path: /ready, headers: {{X-Probe: envkit}}}}
            exports:
              APP_URL: ${{self.address}}
              APP_GREETING: ${{self.env.GREETING}}
              APP_QUOTED: "a'b\\"c$$d\\ne f"
        exports: {{MINE: "http://${{app.address}}/${{env.name}}"}}
        """,
        ports=(peer, app),
    )
    (box.folder / "server.py").write_text(SERVER)
    box("up").ok()

    variables = box.variables()
    assert variables["APP_URL"] == f"127.0.0.1:{app}"
    assert variables["MINE"] == f"http://127.0.0.1:{app}/{box.name}"
    assert variables["APP_GREETING"] == 'it\'s $5 & "more"'
    assert variables["APP_QUOTED"] == "a'b\"c$d\ne f"
    exports = box("env").ok().out
    told = subprocess.run(
        ["sh", "-c", f'{exports}\nprintf %s "$APP_QUOTED"'], capture_output=True, text=True, check=True
    )
    assert told.stdout == variables["APP_QUOTED"]

    listening = listener(variables["ENVKIT_HOST_LISTEN"], mine)
    with listening, urllib.request.urlopen(f"http://{variables['APP_URL']}/", timeout=15) as answer:
        seen = json.load(answer)
    assert seen == {
        "mode": "0o600", "uid": 1001, "gid": 1001, "me": 1001, "settings": {"peer": "peer:80"},
        "greeting": "it's $5 & \"more\"", "peer": 200, "cwd": "/tmp",
        "called": [200, 200],
    }  # fmt: skip
    assert (box.folder / "note.txt").read_text() == f"127.0.0.1:{peer}\n", "a host command sees what the host sees"
    bindings = box.engine.inspect(box.name, "app")["NetworkSettings"]["Ports"].values()
    assert {row["HostIp"] for rows in bindings for row in rows} == {"127.0.0.1"}

    assert box("plan").ok().out.endswith("nothing to do\n"), "one-shots that succeeded do not run again"
    (box.folder / "server.py").write_text(SERVER + "# changed\n")
    changes = {step: reason for step, (action, reason) in box.plan().items() if action != "keep"}
    assert set(changes) == {"prepare", "app"}, "a file's content counts"
    assert changes["app"].startswith("changed: files."), changes


def test_a_part_first_then_the_whole(small: Small) -> None:
    one, two, three = ports.free(3)
    box = small(
        f"""
        cluster: none
        services:
          redis: {{preset: redis, options: {{maxmemory: 64MiB}}, ports: {{redis: {one}}}}}
          web: {{image: {PYTHON}, command: [sleep, "600"], needs: redis, ports: {{http: "{two}:80"}}}}
          apart: {{image: {PYTHON}, command: [sleep, "600"], ports: {{http: "{three}:80"}}}}
        """,
        ports=(one, two, three),
    )
    box("up", "redis").ok()
    first = box.ids()
    assert set(first) == {"redis"}
    assert set(box.variables()) >= {"REDIS_URL"}

    box("up", "web").ok()
    second = box.ids()
    assert set(second) == {"redis", "web"} and second["redis"] == first["redis"]

    box("up").ok()
    assert box.ids().items() > second.items()
    box("status").ok()


def test_what_left_the_configuration_leaves_the_environment(small: Small) -> None:
    one, two = (f"  {name}: {{image: {PYTHON}, command: [sleep, '600']}}\n" for name in ("one", "two"))
    box = small(f"cluster: none\nservices:\n{one}{two}")
    box("up").ok()
    before = box.ids()
    (box.folder / "envkit.yaml").write_text(f"cluster: none\nservices:\n{one}")
    assert "two" in str(box.plan())
    box("up").ok()
    assert box.ids() == {"one": before["one"]}


def test_ports_that_the_engine_chooses(small: Small) -> None:
    box = small(
        f"""
        cluster: none
        services:
          web:
            image: {PYTHON}
            command: [python3, -m, http.server, "80"]
            ports: {{http: "auto:80"}}
            stop_timeout: 1s
            probe: {{type: http}}
            exports: {{WEB_URL: "http://${{self.address}}/"}}
        """
    )
    for _ in range(2):
        box("up").ok()
        with urllib.request.urlopen(box.variables()["WEB_URL"], timeout=5) as answer:
            assert answer.status == 200
        box("restart", "web").ok()  # an engine may choose another port


def test_the_suite_that_wants_no_cluster(small: Small) -> None:
    """The test uses a shipped profile without changes; it has only PostgreSQL and Redis."""
    offset = ports.offset((15433, 16379))
    box = small("extends: datastorage", "--port-offset", str(offset), ports=(15433 + offset, 16379 + offset))
    box("up").ok()
    assert set(box.ids()) == {"postgres", "redis"}
    assert "KUBECONFIG" not in box.variables()


def test_anonymous_volumes_go_with_their_container(small: Small) -> None:
    (port,) = ports.free()
    box = small(f"cluster: none\nservices: {{db: {{preset: postgres, ports: {{postgres: {port}}}}}}}", ports=(port,))
    box("up").ok()
    volumes = box.engine.volumes_of(box.name)
    assert volumes
    box("up", "--set", "services.db.env.TZ=UTC").ok()
    assert not box.engine.existing(volumes), "a replaced container's too"
    volumes = box.engine.volumes_of(box.name)
    box("down").ok()
    assert box.left(volumes) == []
