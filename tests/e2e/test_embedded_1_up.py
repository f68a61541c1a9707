"""Tests of the default profile as plain processes, brought up once: its use, its access rules, and its repair."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import redis
from kubernetes import client, config

from envkit.drivers import accounts
from envkit.inventory.export import masked
from tests.e2e import real_datastorage
from tests.e2e.conftest import FAILED
from tests.e2e.embedded_box import EmbeddedBox, default_profile, segment_of, segments
from tests.pictures.checking import check
from tests.pictures.scenes import SCENES, Scene
from tests.pictures.terminal import Shown
from tests.support.actions import commands, entries
from tests.support.box import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.embedded]

SUITE = Path(__file__).parent / "suite/every_variable.py"
PARTS = ("etcd", "apiserver", "controllers")
SERVICES = {*PARTS, "redis", "postgres", "datastorage"}
GIB = 1 << 30


SHOWN: dict[str, Shown] = {}
"""The terminal output of each command that ran while the environment came up."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBox]:
    """Yield the environment of the default profile."""
    with default_profile(tmp_path_factory.mktemp("embedded")) as made:
        began = time.monotonic()
        SHOWN.update(up=made.shown("up"))
        assert SHOWN["up"].code == 0, SHOWN["up"].raw
        print(f"up from nothing: {time.monotonic() - began:.1f} s")
        yield made
        made.untouched()


@pytest.fixture
def gateway(shared: EmbeddedBox, request: pytest.FixtureRequest) -> Iterator[EmbeddedBox]:
    """Yield the shared environment and repair it after a failed test."""
    yield shared
    if request.node.stash.get(FAILED, False):
        print(shared("up"))


@contextmanager
def admin(gateway: EmbeddedBox) -> Iterator[client.ApiClient]:
    settings = client.Configuration()
    config.load_kube_config(gateway.variables()["KUBECONFIG"], client_configuration=settings)
    with client.ApiClient(settings) as api:
        yield api


def addresses(gateway: EmbeddedBox) -> dict[str, int]:
    """Return each port by `service.port`."""
    rows = gateway("status", "--json").ok().json["services"]
    return {
        f"{row['name']}.{name}": int(address.rpartition(":")[2])
        for row in rows
        for name, address in row["addresses"].items()
    }


# Output on a terminal


@pytest.mark.parametrize("one", SCENES, ids=lambda one: one.name)
def test_a_picture_is_what_the_program_shows(gateway: EmbeddedBox, one: Scene) -> None:
    """These tests run first and in this order.

    `timeline` shows the `up` above, and `plan` shows the state after `run`.
    """
    check(one, SHOWN.get(one.name) or gateway.shown(*one.words, columns=one.columns), gateway.name)


def test_narrow_and_dumb_terminals_get_lines_that_fit(gateway: EmbeddedBox) -> None:
    """The last picture removed the environment's Redis; `up` repairs it here."""
    for verb, columns in (("status", 40), ("status", 80), ("plan", 40)):
        said = gateway.shown(verb, columns=columns, TERM="dumb")
        assert "\x1b" not in said.raw, said.raw
        wide = [line for line in said.screen.plain() if len(line) > columns and " " in line.strip()]
        assert wide == [], f"{verb} at {columns} columns"
    said = gateway.shown("up", columns=40, TERM="dumb")
    assert said.code == 0 and "\x1b" not in said.raw, said.raw
    assert "redis" in said.raw
    said = gateway.shown("timeline", columns=40, PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert said.code == 0 and said.raw.isascii() and "#" in said.raw, said.raw
    assert "\x1b" not in gateway.shown("timeline", NO_COLOR="1").raw
    assert "\x1b[" in gateway.shown("timeline").raw


# Use by a suite


def test_a_suite_reaches_everything_through_every_variable(gateway: EmbeddedBox) -> None:
    names = ",".join(sorted(gateway.variables()))
    pytest_ = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default", str(SUITE))
    said = gateway("run", "--", *pytest_, SUITE_VARIABLES=names, KUBECONFIG=os.devnull).ok()
    assert " passed" in said.out and "failed" not in said.out, said
    assert {*gateway.ids()} == SERVICES, "run takes down only what it brought up"


def test_a_second_up_keeps_everything(gateway: EmbeddedBox) -> None:
    before, variables = gateway.ids(), gateway.variables()
    assert {*before} == SERVICES
    times = [gateway("up").ok().seconds for _ in range(3)]
    asked = [gateway("env").ok().seconds for _ in range(3)]
    print(f"up with nothing to do: {min(times):.2f} s; env: {min(asked):.2f} s")
    assert gateway.ids() == before
    assert gateway.variables() == variables
    assert gateway("plan").ok().out.endswith("nothing to do\n")


def test_a_second_up_imports_nothing_that_is_slow(gateway: EmbeddedBox) -> None:
    said = gateway("up", PYTHONPROFILEIMPORTTIME="1").ok().err
    imported = {line.rpartition("|")[2].strip() for line in said.splitlines() if line.startswith("import time:")}
    assert {
        "envkit.operations.up",
        "envkit.drivers.databases.pgwire",
        "envkit.drivers.clusters.connections",
    } <= imported
    slow = {"pg8000", "urllib3", "psutil", "kubernetes", "docker", "cryptography", "rich", "invoke", "asyncio"}
    assert slow & imported == set()


def test_status_shows_every_part_ready(gateway: EmbeddedBox) -> None:
    said = gateway("status", "--json").ok().json
    assert said["up"] is True
    health = {row["name"]: row["health"] for row in said["services"]}
    assert health == {"cluster": "ready", "migrate": "done", **dict.fromkeys(SERVICES, "ready")}


def test_logs_of_every_service(gateway: EmbeddedBox) -> None:
    said = gateway("logs").ok().out.splitlines()
    assert {line.partition(" | ")[0] for line in said} >= {"apiserver", "redis", "postgres", "datastorage"}


def test_github_masks_every_secret_that_later_steps_are_given(gateway: EmbeddedBox, tmp_path: Path) -> None:
    given = {"GITHUB_ACTIONS": "true", "GITHUB_ENV": str(tmp_path / "env")}
    said = gateway("up", **given).ok()
    variables = entries((tmp_path / "env").read_text())
    assert variables == gateway.variables()
    masks = [one.text for one in commands(said.err) if one.name == "add-mask"]
    secret = {name for name, value in variables.items() if masked(name, value) != value}
    assert len(secret) >= 5
    assert [name for name in secret if not any(mask in variables[name] for mask in masks)] == []
    keys = [path for path in (gateway.state / gateway.name).rglob("*.key") if path.stat().st_size]
    assert keys and all(any(mask in path.read_text() for mask in masks) for path in keys)
    print(f"{len(masks)} masks")


# Access


def test_nothing_listens_beyond_loopback(gateway: EmbeddedBox) -> None:
    listening = {
        f"{process.name()} on {row.laddr.ip}:{row.laddr.port}"
        for process in gateway.processes()
        for row in process.net_connections(kind="inet")
        if row.status == psutil.CONN_LISTEN or (row.type == socket.SOCK_DGRAM and not row.raddr)
    }
    assert len(listening) >= 7, listening
    assert not {one for one in listening if " on 127.0.0.1:" not in one}


def test_no_secret_is_in_what_ps_shows(gateway: EmbeddedBox) -> None:
    variables = gateway.variables()
    secrets = {value for name, value in variables.items() if name.endswith(("_TOKEN", "PASSWORD"))}
    assert len(secrets) == 4
    for process in gateway.processes():
        words = " ".join(process.cmdline())
        assert not [secret for secret in secrets if secret in words], process.name()
        assert "PRIVATE KEY" not in words


def test_files_with_secrets_are_the_users_alone(gateway: EmbeddedBox) -> None:
    folders = (gateway.state / gateway.name, gateway.services)
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    telling = [path for path in paths if path.suffix == ".key" or path.name in ("kubeconfig", "launch.json")]
    telling += [path for path in paths if path.parent.name == "tokens"]
    assert len(telling) >= 15, telling
    group = {path for path in telling if path.is_relative_to(gateway.services) and path.stat().st_gid}
    assert {oct(path.stat().st_mode & 0o777) for path in telling if path not in group} == {"0o600"}
    # Root owns the files that a service with its own user reads; only that user is in the files' group.
    assert {oct(path.stat().st_mode & 0o777) for path in group} <= {"0o640"}
    assert {path.stat().st_uid for path in group} <= {0}
    assert not [path for path in group if path.stat().st_gid not in accounts.WINDOW]
    data = list(gateway.services.glob("*/data"))
    assert {oct(path.stat().st_mode & 0o777) for path in data} == {"0o700"}
    assert len(data) == len(SERVICES)


@pytest.mark.parametrize("path", ["/api", "/version", "/healthz", "/readyz", "/metrics", "/api/v1/secrets"])
def test_the_api_server_knows_no_anonymous_user(gateway: EmbeddedBox, path: str) -> None:
    kubeconfig = client.Configuration()
    config.load_kube_config(gateway.variables()["KUBECONFIG"], client_configuration=kubeconfig)
    context = ssl.create_default_context(cafile=kubeconfig.ssl_ca_cert)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(kubeconfig.host + path, timeout=10, context=context)
    refused.value.close()
    assert refused.value.code == 401


def test_etcd_talks_to_nobody_without_a_certificate(gateway: EmbeddedBox) -> None:
    etcd = gateway.program("etcd")
    listening = [row.laddr.port for row in etcd.net_connections(kind="tcp") if row.status == psutil.CONN_LISTEN]
    assert len(listening) == 2, "for clients and for peers"
    context = ssl.create_default_context(cafile=gateway.state / gateway.name / "pki/etcd/ca.crt")
    for port in listening:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as plug:
            plug.sendall(b"GET /v2/members HTTP/1.0\r\n\r\n")
            answer = plug.recv(1000)
            assert b" 200 " not in answer and b"members" not in answer, answer
        assert shaken(port, context) == b""


def shaken(port: int, context: ssl.SSLContext) -> bytes:
    """Return the answer over TLS to a client without a certificate."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plug:
        try:
            with context.wrap_socket(plug, server_hostname="127.0.0.1") as tls:
                tls.sendall(b"GET /version HTTP/1.0\r\n\r\n")
                return tls.recv(1000)
        except (ssl.SSLError, ConnectionError):
            return b""


def pairs(gateway: EmbeddedBox) -> dict[str, tuple[Path, Path]]:
    """Return every certificate below the state directory with its key, including those of `host/`."""
    state = gateway.state / gateway.name
    return {
        str(path.relative_to(state)): (path, path.with_suffix(".key"))
        for path in state.rglob("*.crt")
        if path.with_suffix(".key").exists() and path.name != "ca.crt"
    }


def test_etcd_refuses_every_certificate_but_its_own_clients(gateway: EmbeddedBox) -> None:
    """etcd has no RBAC: a client that it accepts can read every Secret."""
    gateway("run", "--", "true").ok()  # `run` makes the host's certificate
    found, state = pairs(gateway), gateway.state / gateway.name
    port = addresses(gateway)["etcd.client"]
    knows = {name: knocked(port, state / "pki/etcd/ca.crt", pair, "/v3/kv/range") for name, pair in found.items()}
    own = {"pki/etcd/apiserver-etcd.crt", "pki/etcd/etcd.crt"}
    assert own < {*knows} and "host/tls.crt" in knows and "pki/clients/admin.crt" in knows, [*knows]
    assert {name for name, answer in knows.items() if answer.startswith(b"HTTP/1.")} == own, knows


def test_the_api_server_takes_no_servers_certificate_for_a_user(gateway: EmbeddedBox) -> None:
    found, state = pairs(gateway), gateway.state / gateway.name
    port = addresses(gateway)["apiserver.https"]
    said = {name: knocked(port, state / "pki/ca.crt", pair, "/api/v1/secrets") for name, pair in found.items()}
    users = {name for name in found if name.startswith("pki/clients/")}
    assert {name for name, answer in said.items() if b" 200 " in answer.partition(b"\r\n")[0]} == users, said
    assert all(b" 401 " in said[name].partition(b"\r\n")[0] or not said[name] for name in found if name not in users)


def knocked(port: int, authority: Path, pair: tuple[Path, Path], path: str) -> bytes:
    """Return the answer over TLS to a client with this certificate, or an empty value if the handshake fails."""
    context = ssl.create_default_context(cafile=authority)
    context.load_cert_chain(*pair)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plug:
        try:
            with context.wrap_socket(plug, server_hostname="127.0.0.1") as tls:
                tls.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                return tls.recv(1000)
        except (ssl.SSLError, ConnectionError):
            return b""


def test_each_service_runs_as_a_user_that_nobody_else_has(gateway: EmbeddedBox) -> None:
    users = {name: gateway.program(name).uids() for name in SERVICES}
    assert all(one.real == one.effective == one.saved for one in users.values())
    numbers = {name: one.real for name, one in users.items()}
    owners = {name: (gateway.services / name / "data").stat().st_uid for name in SERVICES}
    assert owners == numbers
    if os.getuid() == 0:
        assert len({*numbers.values()}) == len(SERVICES) and all(it in accounts.WINDOW for it in numbers.values())
    else:
        assert {*numbers.values()} == {os.getuid()}


# The API server is real


def test_a_namespace_gets_its_account_and_goes_away(gateway: EmbeddedBox) -> None:
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    with admin(gateway) as api:
        core = client.CoreV1Api(api)
        core.create_namespace({"metadata": {"name": name}})
        assert eventually(lambda: [it.metadata.name for it in core.list_namespaced_service_account(name).items])
        assert core.list_namespaced_service_account(name).items[0].metadata.name == "default"
        core.create_namespaced_config_map(name, {"metadata": {"name": "inside"}})
        began = time.monotonic()
        core.delete_namespace(name)
        assert eventually(lambda: gone(lambda: core.read_namespace(name)), 60), "still Terminating"
        print(f"a namespace was gone after {time.monotonic() - began:.1f} s")


def gone(read: Callable[[], Any]) -> bool:
    try:
        read()
    except client.ApiException as error:
        return bool(error.status == 404)
    return False


def test_what_has_lost_its_owner_is_collected(gateway: EmbeddedBox) -> None:
    with admin(gateway) as api:
        core = client.CoreV1Api(api)
        owner = core.create_namespaced_config_map("staging", {"metadata": {"generateName": "owner-"}}).metadata
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner.name, "uid": owner.uid}
        owned = core.create_namespaced_config_map(
            "staging", {"metadata": {"generateName": "owned-", "ownerReferences": [reference]}}
        ).metadata.name
        core.delete_namespaced_config_map(owner.name, "staging")
        assert eventually(lambda: gone(lambda: core.read_namespaced_config_map(owned, "staging")), 60)


def test_priority_and_fairness_does_not_throttle_many_at_once(gateway: EmbeddedBox) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with admin(gateway) as api, ThreadPoolExecutor(40) as pool:
        core = client.CoreV1Api(api)
        done = [pool.submit(core.list_namespace) for _ in range(200)]
        assert all(one.result().items for one in done)


# Limits


def test_redis_has_its_size_policy_and_limit(gateway: EmbeddedBox) -> None:
    with redis.Redis.from_url(gateway.variables()["REDIS_URL"], decode_responses=True) as connection:
        memory = connection.info("memory")
        assert (memory["maxmemory"], memory["maxmemory_policy"]) == (2 * GIB, "allkeys-lru")
        assert connection.config_get("save") == {"save": ""}
    groups = [*Path("/sys/fs/cgroup/memory").glob(f"envkit-{gateway.name}.redis.*")]
    if not groups:
        pytest.skip("this user may make no control groups here")
    (group,) = groups
    assert (group / "memory.limit_in_bytes").read_text().strip() == str(4 * GIB)
    assert str(gateway.program("redis").pid) in (group / "cgroup.procs").read_text().split()


# Repairs by a second `up`


@pytest.mark.parametrize("service", ["redis", "postgres", "datastorage", "controllers", "apiserver", "etcd"])
def test_a_killed_process_is_named_and_replaced(gateway: EmbeddedBox, service: str) -> None:
    before = gateway.ids()
    data = gateway.services / "postgres/data"
    shared_memory = segment_of(data)
    gateway.program(service).send_signal(signal.SIGKILL)
    assert eventually(lambda: not psutil.pid_exists(int(before[service])))

    said = gateway("status")
    assert said.code == 4 and "137" in said.out, said
    action, reason = gateway.plan()[service]
    assert action == "replace" and "137" in reason, reason
    said = gateway("up").ok()
    print(f"repaired after {said.seconds:.1f} s")
    after = gateway.ids()
    assert {*after} == SERVICES and after[service] != before[service]
    assert segments() & {shared_memory, segment_of(data)} <= {segment_of(data)}, "a killed PostgreSQL's is removed"
    gateway("status").ok()
    with admin(gateway) as api:
        names = {it.metadata.name for it in client.CoreV1Api(api).list_namespace().items}
    assert {"default", "staging", "production"} <= names


def test_a_killed_shell_is_repaired_too(gateway: EmbeddedBox) -> None:
    """The service's program survives and holds its port; envkit identifies it as its own and replaces it."""
    before = gateway.ids()
    os.kill(int(before["redis"]), signal.SIGKILL)
    gateway("up").ok()
    assert gateway.ids()["redis"] != before["redis"]
    gateway("status").ok()


def test_what_drifted_is_replaced_with_what_needs_it(gateway: EmbeddedBox) -> None:
    before = gateway.ids()
    smaller = ("--set", "services.redis.options.maxmemory=1GiB")
    plan = gateway.plan(*smaller)
    changes = {step for step, (action, _) in plan.items() if action != "keep"}
    assert changes == {"prepare", "redis", "datastorage"}
    assert plan["redis"] == ("replace", "changed: command, memory, process.command")
    assert gateway.ids() == before, "plan changes nothing"
    gateway("up", *smaller).ok()
    with redis.Redis.from_url(gateway.variables()["REDIS_URL"]) as connection:
        assert connection.info("memory")["maxmemory"] == GIB
    gateway("up").ok()


def test_callers_need_a_token_where_that_is_asked_for(gateway: EmbeddedBox) -> None:
    before = gateway.ids()
    auth = ("--set", "services.datastorage.options.auth=true")
    try:
        gateway("up", *auth).ok()
        after = gateway.ids()
        assert {name for name in before if before[name] != after[name]} == {"datastorage"}
        variables = gateway.variables()
        url = variables["DATA_STORAGE_URL"] + "/api/v1/audit/events"
        tokens = ("", "nonsense", variables["GATEWAY_AUTHORIZED_TOKEN"], variables["DATA_STORAGE_TOKEN"])
        assert [real_datastorage.write(url, token) for token in tokens] == [401, 401, 403, 201]

        kept = gateway.state / gateway.name / "tokens" / "data-storage-sa"
        carried = gateway.services / "datastorage/root/etc/datastorage/kubeconfig.token"
        assert carried.read_text() == kept.read_text()
        kept.write_text("ends now")
        gateway.variables()
        assert carried.read_text() == kept.read_text() != "ends now"
        assert "nothing to do" in gateway("plan", *auth).ok().out
    finally:
        gateway("up").ok()


def test_restart_keeps_the_data(gateway: EmbeddedBox) -> None:
    url = gateway.variables()["DATABASE_URL"]
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS e2e_kept (number int)")
        connection.execute("INSERT INTO e2e_kept VALUES (42)")
    before = gateway.ids()["postgres"]
    gateway("restart", "postgres").ok()
    assert gateway.ids()["postgres"] != before
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT number FROM e2e_kept").fetchone() == (42,)
        connection.execute("DROP TABLE e2e_kept")
    assert gateway("plan").ok().out.endswith("nothing to do\n")


def test_restart_of_the_api_server_keeps_what_is_in_it(gateway: EmbeddedBox) -> None:
    with admin(gateway) as api:
        client.CoreV1Api(api).create_namespaced_config_map("staging", {"metadata": {"name": "kept"}})
    gateway("restart", "etcd").ok()
    gateway("restart", "apiserver").ok()
    with admin(gateway) as api:
        assert eventually(lambda: not gone(lambda: client.CoreV1Api(api).read_namespaced_config_map("kept", "staging")))
        client.CoreV1Api(api).delete_namespaced_config_map("kept", "staging")


def test_a_lost_state_folder_is_made_again(gateway: EmbeddedBox) -> None:
    names = {*gateway.variables()}
    shutil.rmtree(gateway.state)
    assert gateway("env").code == 4
    gateway("up").ok()
    assert {*gateway.variables()} == names
    gateway("status").ok()
    assert gateway("plan").ok().out.endswith("nothing to do\n")


# The end


def test_down_finds_everything_when_every_file_is_lost(gateway: EmbeddedBox) -> None:
    shared_memory = segment_of(gateway.services / "postgres/data")
    neighbour = psutil.Popen(["sleep", "600"], env={"ENVKIT_ENV": f"{gateway.name}-other", "PATH": os.environ["PATH"]})
    try:
        shutil.rmtree(gateway.state)
        shutil.rmtree(gateway.services, ignore_errors=True)
        said = gateway("down").ok()
        assert gateway.left() == [], said
        assert neighbour.is_running() and neighbour.status() != psutil.STATUS_ZOMBIE
        assert shared_memory not in segments()
    finally:
        neighbour.kill()
        neighbour.wait()
    assert "nothing to remove" in gateway("down").ok().out
    assert gateway("status").code == 4
    assert gateway.left() == [], "to look leaves nothing either"
    gateway.untouched()
