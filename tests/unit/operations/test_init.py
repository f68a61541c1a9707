"""Tests of `init`: its configuration loads, it reports what it found in the repository, and it overwrites nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from envkit.base.errors import UsageError
from envkit.cli.flags import Flags
from envkit.cli.verbs import init as command
from envkit.config.load import Request, load
from envkit.config.models import Environment
from envkit.operations.compose import _full, to_envkit
from envkit.operations.init import TASKS, init

COMPOSE = """
services:
  db:
    image: postgres:15
    container_name: shop_db
    environment: [POSTGRES_USER=shop, "POSTGRES_PASSWORD=pa$$ss", POSTGRES_DB]
    ports: ["5432:5432"]
    volumes: [data:/var/lib/postgresql/data]
  cache: {image: redis, ports: ["127.0.0.1:26379:6379"]}
  My_API:
    build: {context: ., args: {MODE: test}}
    command: serve --port 8080
    depends_on: {db: {condition: service_healthy}, cache: {condition: service_started}}
    environment: {DATABASE: "postgres://shop@db/$NAME", DEBUG: true, TOKEN: }
    ports: ["80:8080", {target: 9090, published: 19090}]
    restart: always
  worker: {image: ghcr.io/shop/worker:2, depends_on: [db]}
volumes: {data: {}}
"""


def loaded(folder: Path) -> Environment:
    return load(Request.of({}, folder))


def test_a_compose_file_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text(COMPOSE)
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    made = init(tmp_path)
    assert made.seen == ("docker-compose.yml",)
    found = loaded(tmp_path)
    assert set(found.services) == {"db", "cache", "my-api", "worker"}
    assert found.host_ports() == {
        5432: "db.postgres", 26379: "cache.redis", 10080: "my-api.p8080", 19090: "my-api.p9090"
    }  # fmt: skip
    db, api = found.services["db"], found.services["my-api"]
    assert db.process, "a preset runs in every lane"
    assert (db.env["POSTGRES_USER"], db.env["POSTGRES_PASSWORD"]) == ("shop", "pa$ss")
    assert api.build and api.build.args == {"MODE": "test"} and api.command == ("serve", "--port", "8080")
    assert api.needs == ("db", "cache")
    assert api.env == {"DATABASE": "postgres://shop@db/", "DEBUG": "true", "TOKEN": ""}
    assert found.services["worker"].image == ("ghcr.io/shop/worker:2",)
    text = (tmp_path / "envkit.yaml").read_text()
    assert "# not taken over from the compose file: volumes" in text
    assert "container_name" not in text and "restart" not in text
    assert "# `image: docker.io/library/postgres:15` would use" in text
    assert "healthz" in text


def test_what_a_go_module_depends_on(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text(
        "module example.org/shop\n\ngo 1.22\n\nrequire (\n"
        "\tgithub.com/jackc/pgx/v5 v5.5.0\n\tgithub.com/redis/go-redis/v9 v9.3.0 // indirect\n"
        "\tsigs.k8s.io/controller-runtime v0.17.0\n)\n"
    )
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations/001.sql").write_text("-- +goose Up\nSELECT 1;\n")
    made = init(tmp_path)
    assert made.seen == ("go.mod", "migrations") and made.test == "go test -count=1 ./..."
    found = loaded(tmp_path)
    assert set(found.services) == {"postgres", "migrate"}, "what is indirect is not used here"
    assert found.cluster.type == "envtest"
    assert found.services["migrate"].needs == ("postgres",)


@pytest.mark.parametrize(
    ("name", "text", "services"),
    [
        ("pyproject.toml", '[project]\nname = "x"\ndependencies = ["psycopg[binary]>=3", "requests"]\n', {"postgres"}),
        ("pyproject.toml", '[dependency-groups]\ndev = ["redis>=5", {include-group = "x"}]\n', {"redis"}),
        ("pyproject.toml", "broken = [", {"redis"}),
        ("requirements-dev.txt", "# tests\nasyncpg==0.29\nredis\n", {"postgres", "redis"}),
        ("package.json", '{"dependencies": {"pg": "8"}, "devDependencies": {"ioredis": "5"}}', {"postgres", "redis"}),
        ("README.md", "nothing", {"redis"}),
    ],
)
def test_what_others_depend_on(name: str, text: str, services: set[str], tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    init(tmp_path)
    assert set(loaded(tmp_path).services) == services


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("# mine\n")
    (tmp_path / ".gitignore").write_text("/envkit.local.yaml\n")
    made = init(tmp_path, "shop")
    assert [path.name for path in made.files] == ["envkit.yaml"]
    assert (tmp_path / "tasks.py").read_text() == "# mine\n"
    assert len(made.notes) == 1 and TASKS.strip() in made.notes[0]
    assert loaded(tmp_path).name == "shop"
    before = (tmp_path / "envkit.yaml").read_text()
    with pytest.raises(UsageError, match="nothing is overwritten"):
        init(tmp_path)
    assert (tmp_path / "envkit.yaml").read_text() == before


@pytest.mark.parametrize("text", ["services: [a]", "a: [", "- x"])
def test_what_is_no_compose_file_is_said(text: str, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(text)
    with pytest.raises(UsageError, match="cannot be read as a compose file"):
        to_envkit(tmp_path / "compose.yaml")


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("redis:7", "docker.io/library/redis:7"),
        ("shop/api", "docker.io/shop/api"),
        ("localhost/x:1", "localhost/x:1"),
        ("reg.example:5000/x", "reg.example:5000/x"),
    ],
)
def test_images_get_their_whole_names(short: str, full: str) -> None:
    assert _full(short) == full


def test_the_command_says_what_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "go.mod").write_text("module m\nrequire github.com/lib/pq v1.10.9\n")
    command.init(Flags(environ={}))
    said = capsys.readouterr().out
    assert f"wrote {tmp_path}/envkit.yaml (from go.mod)" in said and "run -- go test -count=1 ./..." in said
    assert (tmp_path / "tasks.py").read_text() == TASKS
    for path in ("envkit.yaml", "tasks.py"):
        (tmp_path / path).unlink()
    command.init(Flags(environ={}, json=True))
    assert json.loads(capsys.readouterr().out)["seen"] == ["go.mod"]
