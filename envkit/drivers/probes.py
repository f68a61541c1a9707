"""Is it ready? One attempt each: None when it demonstrably works, otherwise what was seen instead."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from envkit.base.deadline import Deadline
from envkit.base.ports import LOOPBACK
from envkit.config import models
from envkit.config.units import show_size

if TYPE_CHECKING:
    from envkit.base.waiting import Cancel
    from envkit.drivers.databases.resp import Redis

ATTEMPT_SECONDS = 2.0
"""One attempt in all, its connection, headers and body: longer than a healthy answer on a busy machine."""

COMMAND_GRACE = 0.5
"""Seconds between SIGTERM and SIGKILL for a command that did not end with its attempt."""

LIMITED = "envkit's program in /usr/local/sbin was not run; see options.superuser in docs/services.md"
"""Why clients have more rights than expected: the image's PATH does not begin as Debian's, or `files` was replaced."""

Executor = Callable[[tuple[str, ...]], tuple[int, str]]


@dataclass(frozen=True)
class Target:
    """Where a service is, as seen from the host; `execute` runs a command beside it. `cancel` ends an attempt."""

    port: Callable[[str], int]
    execute: Executor
    host: str = LOOPBACK
    cancel: Cancel | None = None

    def deadline(self) -> Deadline:
        """The end of an attempt that begins now."""
        return Deadline(ATTEMPT_SECONDS, self.cancel)


def attempt(probe: models.Probe, target: Target) -> str | None:
    """Ask once. Never raises for what a probe may meet: refusal, silence and nonsense are answers."""
    match probe:
        case models.HttpProbe():
            return _http(probe, target)
        case models.TcpProbe():
            return _tcp(probe, target)
        case models.RedisProbe():
            return _redis(probe, target)
        case models.PostgresProbe():
            return _postgres(probe, target)
        case models.ExecProbe():
            code, output = target.execute(probe.command)
            return None if code == 0 else f"{probe.command[0]} ended with {code}: {output.strip()[-200:]}"
        case models.CommandProbe():
            return _command(probe, target)
        case models.AuditProbe():
            return _audit(probe, target)


def describe(probe: models.Probe, target: Target) -> str:
    """What the probe expects, for the message of a wait that failed."""
    match probe:
        case models.HttpProbe():
            return f"{probe.status} from {probe.scheme}://{target.host}:{target.port(probe.port)}{probe.path}"
        case models.TcpProbe():
            return f"a connection on {target.host}:{target.port(probe.port)}"
        case models.RedisProbe():
            return f"a correctly configured Redis on {target.host}:{target.port(probe.port)}"
        case models.PostgresProbe():
            return f"an answer to {probe.query!r} on {target.host}:{target.port(probe.port)}/{probe.database}"
        case models.AuditProbe():
            return f"an audit event written and read back on {target.host}:{target.port(probe.port)}"
        case models.ExecProbe() | models.CommandProbe():
            return f"0 from `{' '.join(probe.command)}`"


def _http(probe: models.HttpProbe, target: Target) -> str | None:
    status, body = _request("GET", probe.path, probe, target, headers=dict(probe.headers))
    if status == probe.status:
        return None
    return f"HTTP {status}: {body[:200]}" if status else body


def _request(
    method: str, path: str, probe: models.HttpProbe | models.AuditProbe, target: Target, *,
    body: str | None = None, headers: dict[str, str] | None = None,
) -> tuple[int, str]:  # fmt: skip
    """Status and text; status 0 and the reason when there was no answer."""
    import http.client
    import ssl

    from envkit.base.deadline_http import Connection, ask

    # A certificate is not judged: it may be anybody's, and the question is whether this very port answers.
    unjudged = ssl._create_unverified_context() if probe.scheme == "https" else None  # noqa: S323  see above
    connection = Connection(target.host, target.port(probe.port), target.deadline(), unjudged)
    try:
        answer = ask(connection, method, path, body, headers, cut=True)
        return answer.status, answer.data.decode(errors="replace")
    except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: a header that HTTP cannot hold
        return 0, f"no answer: {str(error) or type(error).__name__}"
    finally:
        connection.close()


def _tcp(probe: models.TcpProbe, target: Target) -> str | None:
    from envkit.base.deadline import dial

    try:
        with dial(target.host, target.port(probe.port), target.deadline()):
            return None
    except OSError as error:
        return f"no connection: {error}"


def _redis(probe: models.RedisProbe, target: Target) -> str | None:
    """PING, then what the running server says of itself: flags that were passed are no proof."""
    from envkit.drivers.databases.resp import RedisError, connect

    try:
        with connect(target.host, target.port(probe.port), probe.password, target.deadline()) as client:
            client.call("PING")
            return _redis_settings(probe, client)
    except RedisError as error:
        return f"no PONG: {error}"


def _redis_settings(probe: models.RedisProbe, client: Redis) -> str | None:
    memory = client.info("memory")
    seen = int(memory.get("maxmemory", 0))
    if probe.maxmemory is not None and seen != probe.maxmemory:
        return f"maxmemory is {show_size(seen)}, expected {show_size(probe.maxmemory)}"
    if probe.policy is not None and memory.get("maxmemory_policy") != probe.policy:
        return f"the eviction policy is {memory.get('maxmemory_policy')}, expected {probe.policy}"
    if probe.decay and memory.get("mem_allocator", "").startswith("jemalloc"):
        decay = re.search(r"opt\.dirty_decay_ms: (-?\d+)", client.call("MEMORY", "MALLOC-STATS"))
        if decay and decay[1] != "0":
            return f"jemalloc keeps freed memory for {decay[1]} ms, expected 0: MALLOC_CONF did not reach the server"
    return _redis_rights(client) if probe.limited else None


def _redis_rights(client: Redis) -> str | None:
    """Setting the folder to the one that it is would change nothing; it must be refused all the same."""
    from envkit.drivers.databases.resp import RedisError

    try:
        client.call("CONFIG", "SET", "dir", ".")
    except RedisError as error:
        return None if str(error).startswith(("ERR", "NOPERM")) else f"no answer to CONFIG SET: {error}"
    return f"clients may set its folder: {LIMITED}"


def _postgres(probe: models.PostgresProbe, target: Target) -> str | None:
    """Over TCP: the temporary server of initdb listens on the unix socket only."""
    from envkit.drivers.databases import pgwire
    from envkit.drivers.databases.sql import SqlError, connect

    where = target.host, target.port(probe.port), target.deadline()
    try:
        try:
            superuser = pgwire.ask(probe, *where)
        except pgwire.Beyond:
            with connect(probe, *where) as connection:
                superuser = (connection.run("SHOW is_superuser") or [["off"]])[0][0] == "on"
                connection.run(probe.query)
    except SqlError as error:
        return f"no answer: {error}"
    if probe.superuser in (None, superuser):
        return None
    return f"{probe.user} is a superuser: {LIMITED}" if superuser else f"{probe.user} is no superuser, expected one"


def _command(probe: models.CommandProbe, target: Target) -> str | None:
    """Its whole group of processes is ended with the attempt: a child that holds the output open holds nobody up."""
    from envkit.base.commands import run
    from envkit.base.errors import NotReady, ToolMissing

    try:
        done = run(probe.command, seconds=ATTEMPT_SECONDS, cancel=target.cancel, check=False, grace=COMMAND_GRACE)
    except NotReady:
        return f"`{' '.join(probe.command)}` timed out after {ATTEMPT_SECONDS:g} s"
    except ToolMissing as error:
        return error.message
    return None if done.code == 0 else f"ended with {done.code}: {done.output.strip()[-200:]}"


def _audit(probe: models.AuditProbe, target: Target) -> str | None:
    """Write one event and read it back by its correlation id, as a suite will."""
    correlation = f"envkit-ready-{uuid.uuid4()}"
    event = {
        "version": "1.0",
        "event_type": "envkit.environment.ready",
        "event_timestamp": datetime.now(UTC).isoformat(),
        "event_category": "gateway",
        "event_action": "probe",
        "event_outcome": "success",
        "correlation_id": correlation,
        "event_data": {"probe": "envkit"},
    }
    who = {"Authorization": f"Bearer {probe.token.strip()}"} if probe.token else {}
    headers = {"Content-Type": "application/json", **who}
    status, body = _request("POST", probe.path, probe, target, body=json.dumps(event), headers=headers)
    if status != 201:
        return f"writing an event: HTTP {status}: {body[:200]}"
    status, body = _request("GET", f"{probe.path}?correlation_id={correlation}", probe, target, headers=who)
    if status != 200 or correlation not in body:
        return f"reading the event back: HTTP {status}: {body[:200]}"
    return None
