"""Tests with containers that hold data: envkit removes one only after it has all prerequisites of the next one."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
import yaml

from tests.support import ports
from tests.support.box import ROOT, Box, Said
from tests.support.engines import Engine

pytestmark = [pytest.mark.e2e]


@dataclass
class Kept:
    """An environment with data in both stores, and its state from before the test."""

    box: Box
    file: Path
    text: dict[str, Any]
    stranger: int
    before: dict[str, Any] = field(default_factory=dict)

    def up(self, change: dict[str, Any]) -> Said:
        """Change some services in the configuration and run `up`."""
        services = {name: {**self.text["services"].get(name, {}), **more} for name, more in change.items()}
        self.write({**self.text, "services": {**self.text["services"], **services}})
        return self.box("up")

    def write(self, text: dict[str, Any]) -> None:
        self.file.write_text(yaml.safe_dump(text))

    def seen(self) -> dict[str, Any]:
        """Return ids, data, and the parts of `status` that do not change with time."""
        self.write(self.text)
        variables = self.box.variables()
        with redis.Redis.from_url(variables["REDIS_URL"], decode_responses=True) as store:
            key = store.get("kept")
        with psycopg.connect(variables["DATABASE_URL"]) as database:
            row = database.execute("SELECT name FROM kept").fetchone()
        rows = self.box("status", "--json").ok().json["services"]
        told = [{key: row[key] for key in ("name", "state", "health", "addresses")} for row in rows]
        return {"ids": self.box.ids(), "redis": key, "postgres": row, "status": told}


@pytest.fixture(scope="module")
def kept(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    folder = tmp_path_factory.mktemp(f"kept-{engine.name}")
    file = folder / "envkit.yaml"
    one, two, three, stranger = ports.free(4)
    (folder / "migrations").mkdir()
    (folder / "migrations/001_x.sql").write_text("-- +goose Up\nCREATE TABLE x ();\n")
    services = {
        "redis": {"preset": "redis", "options": {"maxmemory": "64MiB"}, "ports": {"redis": one}},
        "postgres": {"preset": "postgres", "ports": {"postgres": two}},
        "web": {
            "image": engine.python, "command": ["python3", "-m", "http.server", "8000"], "needs": ["redis"],
            "ports": {"http": f"{three}:8000"}, "probe": {"type": "http", "port": "http"},
        },
        "migrate": {"migrations": {"folder": "migrations"}, "once": True, "needs": ["postgres"]},
    }  # fmt: skip
    made = Kept(
        Box(engine, f"e2e-kept-{engine.name}", folder, ("-f", str(file)), ROOT, (one, two, three)),
        file, {"cluster": "none", "services": services}, stranger,
    )  # fmt: skip
    made.write(made.text)
    try:
        made.box("up").ok()
        variables = made.box.variables()
        with redis.Redis.from_url(variables["REDIS_URL"]) as store:
            store.set("kept", "yes")
        with psycopg.connect(variables["DATABASE_URL"]) as database:
            database.execute("CREATE TABLE kept AS SELECT 'yes' AS name")
        made.before = made.seen()
        yield made
    finally:
        left = made.box.close()
    assert not left, left


SMALLER = {"redis": {"options": {"maxmemory": "32MiB"}}, "postgres": {"env": {"CHANGED": "1"}}}
"""A change that would replace both stores."""

FAILING: dict[str, tuple[dict[str, Any], int, str]] = {
    "image": ({"web": {"image": "localhost/nowhere/x:1"}}, 3, "localhost/nowhere/x:1"),
    "build": ({"web": {"image": [], "build": {"context": "broken"}}}, 3, "building"),
    "port": ({"web": {"ports": {"http": "STRANGER:8000"}}}, 3, "(wanted by web) is held by process"),
    "program": ({"job": {"host_command": ["no-such-program"], "once": True}}, 3, "no-such-program is not installed"),
    "reference": ({"web": {"env": {"X": "${nobody.host}"}}}, 2, "nobody"),
    "file": ({"web": {"files": [{"path": "/x", "source": "gone.txt"}]}}, 2, "gone.txt"),
    "migrations gone": ({"migrate": {"migrations": {"folder": "gone"}}}, 2, "gone"),
    "migrations broken": ({"migrate": {"migrations": {"folder": "malformed"}}}, 2, "001_x.sql"),
}


@pytest.mark.parametrize("case", FAILING)
def test_what_fails_beforehand_leaves_all_as_it_is(kept: Kept, case: str) -> None:
    folder = kept.file.parent
    for name, file, text in (
        ("broken", "Dockerfile", f"FROM {kept.box.engine.python}\nRUN false\n"),
        ("malformed", "001_x.sql", "CREATE TABLE y ();\n"),
    ):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / file).write_text(text)
    change, code, says = FAILING[case]
    if case == "port":
        change = {"web": {"ports": {"http": f"{kept.stranger}:8000"}}}
    with socket.create_server(("127.0.0.1", kept.stranger)) if case == "port" else nullcontext():
        said = kept.up({**SMALLER, **change})

    assert said.code == code and says in said.err, said
    assert "removing the old one" not in said.err, said
    assert kept.seen() == kept.before, said


def test_run_says_what_differs_and_asks_before_data_is_lost(kept: Kept) -> None:
    kept.write({**kept.text, "services": {**kept.text["services"], **_smaller(kept)}})

    said = kept.box("run", "--", "true")

    assert said.code == 2, said
    assert "differs from what is up: redis: changed: " in said.err and "memory" in said.err, said
    assert "differs from what is up: web: what it needs is new: redis" in said.err, said
    assert "nothing was changed" in said.err and "--replace" in said.err, said
    assert kept.seen() == kept.before

    kept.write({**kept.text, "services": {**kept.text["services"], "web": _with_a_secret(kept)}})
    said = kept.box("run", "--", "true").ok()
    assert "differs from what is up: web: changed: env.TOKEN" in said.err, said
    assert "hunter2" not in said.out + said.err
    after = kept.seen()
    assert {name for name, one in after["ids"].items() if one != kept.before["ids"][name]} == {"web"}


def _smaller(kept: Kept) -> dict[str, Any]:
    return {"redis": {**kept.text["services"]["redis"], **SMALLER["redis"]}}


def _with_a_secret(kept: Kept) -> dict[str, Any]:
    return {**kept.text["services"]["web"], "env": {"TOKEN": "hunter2"}}


def test_run_replaces_with_the_option_and_what_died_without(kept: Kept) -> None:
    """This test runs last, because the data are lost."""
    kept.write(kept.text)
    before = kept.box.ids()
    kept.box.engine.api.kill(before["redis"])
    kept.box("run", "--", "true").ok()
    died = kept.box.ids()
    assert died["redis"] != before["redis"] and died["postgres"] == before["postgres"]

    kept.write({**kept.text, "services": {**kept.text["services"], **_smaller(kept)}})
    kept.box("run", "--replace", "--", "true").ok()
    assert kept.box.ids()["redis"] != died["redis"]
