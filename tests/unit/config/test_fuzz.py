"""Tests of hostile values in every field of the configuration: each is a fault with its path, or a value that works."""

from __future__ import annotations

import copy
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envkit.base import commands
from envkit.base.errors import ConfigError, EnvironmentFailed, EnvkitError
from envkit.base.paths import Paths
from envkit.config.load import Request, load
from envkit.config.models import Environment
from envkit.drivers import probes
from envkit.planning import desired

EVERYTHING: dict[str, Any] = {
    "name": "fuzz",
    "lane": "auto",
    "engine": "auto",
    "port_offset": 0,
    "timeout": "5m",
    "secrets": {"s": "text"},
    "images": {"a": "b"},
    "mirrors": {"docker.io": "mirror.example:5000/x"},
    "exports": {"MINE": "${web.address}"},
    "cluster": {
        "type": "kind",
        "ports": [{"node": 30000, "host": 30000}],
        "limits": {"inflight": 10, "controller_qps": 5},
        "config": {"networking": {"x": 1}},
        "namespaces": ["n"],
        "identities": {
            "i": {
                "namespace": "n", "account": "a", "role": "r",
                "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
                "token": {"seconds": 600, "audiences": ["x"], "variable": "TOKEN"},
                "can": [{"verb": "get", "resource": "pods"}],
            }
        },
        "timeout": "1m",
    },
    "services": {
        "web": {
            "image": ["a:1"], "command": ["serve", "-x"], "entrypoint": ["sh"], "user": "1", "workdir": "/w",
            "env": {"A": "1", "B": "${self.env.A}"}, "ports": {"http": {"container": 80, "host": 18080}},
            "files": [{"path": "/etc/x", "content": "text", "mode": "0644", "owner": "1:1"}],
            "certificates": {"folder": "/c", "hosts": ["h"]},
            "memory": "64MiB", "shm": "1MiB", "tmpfs": ["/t"], "capabilities": ["NET_ADMIN"], "needs": ["cluster"],
            "probe": {"type": "http", "path": "/p", "status": 200, "headers": {"X-A": "b"}},
            "exports": {"WEB": "${self.address}"}, "timeout": "30s", "stop_timeout": 3, "platform": "linux/amd64",
        },
        "proc": {
            "process": {"command": ["true", "x"], "env": {"P": "q"}, "minimum": "1.2"},
            "probe": {"type": "exec", "command": ["true"]},
        },
        "pg": {
            "image": "p", "ports": {"p": "15999:5432"},
            "probe": {"type": "postgres", "user": "u", "password": "p", "database": "d", "query": "SELECT 1"},
        },
        "cache": {
            "image": "r", "ports": {"r": "15998:6379"},
            "probe": {"type": "redis", "password": "p", "maxmemory": "1MiB"},
        },
        "cmd": {"image": "c", "probe": {"type": "command", "command": ["true", "x"]}},
        "once": {"once": True, "host_command": ["true", "x"], "env": {"C": "d"}},
        "audit": {"image": "q", "ports": {"a": "15997:80"}, "first_probe": {"type": "audit", "token": "t"}},
    },
}  # fmt: skip
"""A configuration that contains nearly every field once."""

HOSTILE: list[Any] = [
    "", " ", "\0", "a\0b", "\n", "a\nb", "a\r\nX: y", "\ud800", "a\udfffb", "\x1b[31m", "\x7f", "é", "日本", "🙂", "${",
    "${}", "$",
    "$$", "${a.b}", "${self.env.A}", "${self.exports.WEB}", "${web.port|no}", "../../x", "/", "//", "-", "--",
    "a b", "'", '"',
    "%", "%s", "{}", "[]", "null", "true", "~", "*", "&a", "1e999", "9" * 400, "9" * 400 + "g", "9" * 400 + "s",
    "²", "9" * 5000, "9" * 5000 + ":80", "-1", "0",
    "0x10", "nan", "inf", "x" * 70_000, "\u2028", "\ufeff", "a:b:c", ":", "@", "auto",
    0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 1.5, True, False, None,
    [], [""], ["\0"], [None], [[]], [[], {}], ["a", 1, None], {}, {"": ""}, {"\0": 1}, {"a\nb": "c"},
    {"x": {}}, {"1": [1]},
]  # fmt: skip
"""Values that some program, file format, protocol or Python function rejects."""


WORDS = [one for one in HOSTILE if isinstance(one, str)]


def places(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of each value in the document, nested values included."""
    if at:
        yield at
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, (*at, key))


PLACES = list(places(EVERYTHING))


def changed(document: Any, at: tuple[Any, ...], value: Any) -> Any:
    """Return a copy of the document with the value at the given path."""
    made = copy.deepcopy(document)
    inner = made
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value
    return made


def renamed(document: Any, at: tuple[Any, ...], key: str) -> Any:
    """Return a copy of the document in which the last key of the path has another name."""
    made = copy.deepcopy(document)
    inner = made
    for one in at[:-1]:
        inner = inner[one]
    if isinstance(inner, dict):
        inner[key] = inner.pop(at[-1])
    return made


def judged(folder: Path, document: Any) -> Environment | None:
    """Return the environment, or None after faults; each fault has a file and a message."""
    (folder / "envkit.yaml").write_text(json.dumps(document))
    try:
        return load(Request.of({"HOME": "/", "PATH": "/bin:/usr/bin"}, folder))
    except ConfigError as error:
        assert error.faults
        assert all(fault.file and fault.message for fault in error.faults)
        assert all(fault.path for fault in error.faults) or "envkit.yaml" in str(error)
        return None


def used(environment: Environment, folder: Path) -> None:
    """Resolve, render, query and run the values; the test fails on any error that is not envkit's own."""
    paths = Paths(folder, environment.name)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        for name, service in environment.services.items():
            try:
                seen = desired.resolve_for_host(
                    environment, name, paths, {f"{name}.{one}": port for one in service.ports}
                )
                desired.resolve_for_plan(environment, name, paths).model_dump_json().encode()
            except EnvironmentFailed:
                continue
            for probe in (seen.probe, seen.first_probe):
                if probe is not None:
                    target = probes.Target(lambda _: port, lambda _: (0, ""))
                    assert probe.attempt(target) is None or probe.describe(target)
            words = seen.host_command or (seen.process.command if seen.process else ())
            env = {**(seen.process.env if seen.process else {}), **seen.env}
            if words:
                try:
                    commands.run(words, seconds=5, env=env, check=False, grace=0.2)
                except EnvkitError as error:
                    assert error.message


CASES = st.one_of(
    st.tuples(st.just(changed), st.sampled_from(PLACES), st.sampled_from(HOSTILE)),
    st.tuples(
        st.just(renamed), st.sampled_from(PLACES), st.sampled_from([one for one in HOSTILE if isinstance(one, str)])
    ),
    st.tuples(st.just(changed), st.sampled_from(PLACES), st.text(st.characters(), max_size=8)),
)


def test_the_whole_works(tmp_path: Path) -> None:
    environment = judged(tmp_path, EVERYTHING)

    assert environment is not None
    used(environment, tmp_path)


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(CASES, min_size=1, max_size=2))
def test_a_hostile_value_is_a_fault_or_works(tmp_path: Path, cases: list[Any]) -> None:
    document: Any = EVERYTHING
    for change, at, value in cases:
        try:
            document = change(document, at, value)
        except (KeyError, TypeError, IndexError):
            continue  # another change removed that path
    environment = judged(tmp_path, document)
    if environment is not None:
        used(environment, tmp_path)


@pytest.mark.parametrize(
    ("at", "value", "path", "says"),
    [
        (("services", "proc", "process", "command"), [], "services.proc.process.command", "expected a program"),
        (("services", "once", "host_command"), [], "services.once.host_command", "expected a program"),
        (("services", "cmd", "probe", "command"), [], "services.cmd.probe.command", "expected a program"),
        (("services", "web", "env", "A"), "a\0b", "services.web.env.A", "NUL"),
        (("services", "web", "env", "A"), "${BAD}", "services.web.env.A", "half of a character"),
        (("services", "web", "probe", "headers"), {"X\nY": "z"}, "services.web.probe.headers.X\nY", "a header's name"),
        (("services", "web", "probe", "path"), "/a b", "services.web.probe.path", "percent-encoded"),
        (("services", "web", "probe", "status"), 99, "services.web.probe.status", "from 100 to 599"),
        (("services", "web", "memory"), "9" * 400 + "g", "services.web.memory", "a size"),
        (("services", "web", "timeout"), "9" * 400 + "s", "services.web.timeout", "a duration"),
        (("services", "web", "timeout"), 10**400, "services.web.timeout", "63 bits"),
        (("cluster", "config"), {"a\0": 1}, "cluster.config.a\0", "NUL"),
    ],
)
def test_what_was_an_error_of_its_own(tmp_path: Path, at: tuple[Any, ...], value: Any, path: str, says: str) -> None:
    (tmp_path / "envkit.yaml").write_text(json.dumps(changed(EVERYTHING, at, value)))

    with pytest.raises(ConfigError) as caught:
        load(Request.of({"HOME": "/", "BAD": "\udcff"}, tmp_path))

    assert [fault.path for fault in caught.value.faults] == [path]
    assert says in caught.value.faults[0].message
