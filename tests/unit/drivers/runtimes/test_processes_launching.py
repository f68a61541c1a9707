"""Tests of how a unit becomes a launch: files with modes, home, account, real path of the program, and data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from envkit.base.errors import EnvironmentFailed
from envkit.base.owner import Owner
from envkit.config.models import File, Service
from envkit.datastorage.account import VARIABLE
from envkit.drivers import accounts
from envkit.drivers.accounts import Account
from envkit.drivers.runtimes import postgres_data
from envkit.drivers.runtimes.base import Unit
from envkit.drivers.runtimes.launching import Launching, copy_files
from envkit.drivers.runtimes.spawning import Launch
from envkit.drivers.supply.programs import Program


class Known:
    """A fake program store: it returns one program, with given paths and a given version."""

    def __init__(self, version: str = "1", **paths: str) -> None:
        self.program = Program(version, {key.replace("_", "-"): Path(path) for key, path in paths.items()}, "a test",
                               {"LD_LIBRARY_PATH": "/lib/it"})  # fmt: skip

    def found(self, _reference: str) -> Program:
        return self.program

    def id_of(self, reference: str) -> str:
        return f"id of {reference}"


def launch(folder: Path, known: Known, process: dict[str, Any], **fields: Any) -> Launch:
    service = Service.model_validate({"process": process, **fields})
    assert service.process is not None
    unit = Unit("t", Owner(), "s", service, service.process.reference, "f")
    return Launching(known, folder / "cache")(unit, folder)


def test_words_variables_and_identity(tmp_path: Path) -> None:
    made = launch(
        tmp_path, Known(tool="/opt/tool"), {"command": ["tool", "a b", "$c"], "env": {"A": "process"}},
        env={"A": "service", "B": "2"},
    )  # fmt: skip

    assert made.argv == ("/opt/tool", "a b", "$c")
    assert {key: made.env[key] for key in ("A", "B", "LD_LIBRARY_PATH")} == {
        "A": "process", "B": "2", "LD_LIBRARY_PATH": "/lib/it",
    }  # fmt: skip
    assert made.env["HOME"] == os.environ.get("HOME", "")
    assert (made.account, made.identity, made.stop_signal) == (None, "id of program:tool", "TERM")


def test_nothing_else_of_the_users_environment_comes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from envkit.drivers.runtimes.spawning import environ_of

    monkeypatch.setenv("A_SECRET_OF_THE_USER", "x")

    made = environ_of(launch(tmp_path, Known(tool="/t"), {"command": ["tool"]}))

    marks = {"ENVKIT_ENV", "ENVKIT_SERVICE", "ENVKIT_STATE_DIR", "ENVKIT_OWNER"}
    assert {*made} == {"PATH", "HOME", "LC_ALL", "LD_LIBRARY_PATH", *marks}


def test_the_data_folder_is_the_users_alone(tmp_path: Path) -> None:
    launch(tmp_path, Known(tool="/t"), {"command": ["tool"]})

    assert oct((tmp_path / "data").stat().st_mode & 0o777) == "0o700"


def test_a_program_that_the_supply_has_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="there is no no-such-tool in a test") as caught:
        launch(tmp_path, Known(tool="/t"), {"command": ["no-such-tool"], "supply": "redis"})

    assert "tool" in caught.value.hint


@pytest.mark.parametrize(("version", "kept"), [("1.20.2", True), ("1.34.1", False)])
def test_flags_follow_the_version_that_was_found(tmp_path: Path, version: str, kept: bool) -> None:
    process = {"supply": "kubernetes", "command": ["kube-apiserver", "--insecure-port=0", "--secure-port=1"]}

    made = launch(tmp_path, Known(version, kube_apiserver="/k"), process)

    assert made.argv == ("/k", *(["--insecure-port=0"] if kept else []), "--secure-port=1")


def test_the_stop_signal_is_handed_on(tmp_path: Path) -> None:
    assert launch(tmp_path, Known(tool="/t"), {"command": ["tool"], "stop_signal": "INT"}).stop_signal == "INT"


# Files


def test_files_with_their_modes_below_the_root(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"\x00binary\xff")
    root = tmp_path / "root"

    copy_files(
        [
            File(path="/etc/a/secret", content="żółw", mode="0400"),
            File(path="/etc/tool", source=str(tmp_path / "source"), mode="0755"),
        ],
        root,
    )

    assert (root / "etc/a/secret").read_text() == "żółw"
    assert (root / "etc/tool").read_bytes() == b"\x00binary\xff"
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (root / "etc/tool", root / "etc/a/secret")}
    assert modes == {"tool": "0o755", "secret": "0o400"}


def test_files_never_leave_the_root(tmp_path: Path) -> None:
    root = tmp_path / "service/root"

    copy_files([File(path="/../../out", content="x")], root)

    assert (root / "out").read_text() == "x"
    assert [*tmp_path.rglob("out")] == [root / "out"]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_folders_and_files_are_the_users_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        copy_files([File(path="/etc/a/b/secret", content="s", mode="0600")], tmp_path / "root")
    finally:
        os.umask(before)

    assert {oct(path.stat().st_mode & 0o777) for path in (tmp_path / "root").rglob("*") if path.is_dir()} == {"0o700"}
    assert oct((tmp_path / "root/etc/a/b/secret").stat().st_mode & 0o777) == "0o600"


# Users of services


@pytest.mark.parametrize(
    ("process", "own"),
    [
        ({"command": ["postgres"], "supply": "postgres"}, True),
        ({"command": ["redis-server"], "supply": "redis"}, True),
        ({"command": ["python3"], "supply": "datastorage"}, True),
        ({"command": ["tool"]}, False),
        ({"command": ["tool"], "own_user": True}, True),
    ],
)
def test_programs_of_a_supply_have_a_user_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, process: dict[str, Any], own: bool
) -> None:
    account = Account(os.getuid(), os.getgid())
    monkeypatch.setattr(accounts, "take", lambda _folder: account)
    monkeypatch.setattr(postgres_data, "fill", lambda *given: None)
    programs = {"postgres": "/bin/true", "redis_server": "/bin/true", "python3": "/bin/true", "tool": "/bin/true"}

    made = launch(tmp_path, Known(**programs), process, files=[{"path": "/k", "content": "k", "mode": "0600"}])

    assert made.account == (account if own else None)
    assert made.env["HOME"] == ("/nonexistent" if own else os.environ.get("HOME", ""))
    assert oct(tmp_path.stat().st_mode & 0o777) == ("0o710" if own else "0o700")
    assert oct((tmp_path / "root/k").stat().st_mode & 0o777) == ("0o640" if own else "0o600")
    drops = process.get("supply") == "datastorage"
    assert (made.drops, VARIABLE in made.env) == (drops, drops)


def test_a_program_that_only_root_may_execute_is_copied_for_its_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    (tmp_path / "tool").chmod(0o700)
    (tmp_path / "service").mkdir()
    monkeypatch.setattr(accounts, "take", lambda _folder: Account(os.getuid(), os.getgid()))

    made = launch(tmp_path / "service", Known(tool=str(tmp_path / "tool")), {"command": ["tool"], "own_user": True})

    assert made.argv == (str(tmp_path / "service/tool"),)
    assert oct((tmp_path / "service/tool").stat().st_mode & 0o777) == "0o755"


# PostgreSQL's data


INITDB = """#!/bin/sh
echo run >> "$(dirname "$0")/runs"
[ -e "$(dirname "$0")/broken" ] && {{ echo "no space left" >&2; exit 1; }}
while [ $# -gt 0 ] && [ "$1" != -D ]; do shift; done
data=${{PGDATA:-$2}}
mkdir "$data" && echo 15 > "$data/PG_VERSION" && touch "$data/pg_hba.conf"
"""


@pytest.fixture
def postgres(tmp_path: Path) -> dict[str, Path]:
    """Return fake programs that do what these tests need of initdb and `postgres --single`."""
    found = {}
    for name, text in {"initdb": INITDB.replace("{{", "{").replace("}}", "}"), "postgres": "#!/bin/sh\ncat\n"}.items():
        found[name] = tmp_path / "bin" / name
        found[name].parent.mkdir(exist_ok=True)
        found[name].write_text(text)
        found[name].chmod(0o755)
    return found


@pytest.fixture(autouse=True)
def _no_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Act as if envkit is not root, unless a test overrides this."""
    monkeypatch.setattr(accounts, "available", lambda: False)


def fill(tmp_path: Path, postgres: dict[str, Path], data: str, **variables: str) -> Path:
    folder = tmp_path / data
    postgres_data.fill(folder, postgres, variables, {}, tmp_path / "cache", None)
    return folder


def runs(tmp_path: Path) -> int:
    return len((tmp_path / "bin/runs").read_text().splitlines())


def test_initdb_runs_once_and_is_copied(tmp_path: Path, postgres: dict[str, Path]) -> None:
    first, second = (fill(tmp_path, postgres, name, POSTGRES_USER="u", POSTGRES_DB="d") for name in ("one", "two"))

    assert runs(tmp_path) == 1
    for data in (first, second):
        assert (data / "PG_VERSION").read_text() == "15\n"
        assert oct(data.stat().st_mode & 0o777) == "0o700"


def test_another_user_password_or_database_is_another_template(tmp_path: Path, postgres: dict[str, Path]) -> None:
    for number, variables in enumerate([{"POSTGRES_USER": "a"}, {"POSTGRES_USER": "b"}, {"POSTGRES_PASSWORD": "p"}]):
        fill(tmp_path, postgres, f"data-{number}", **variables)

    assert runs(tmp_path) == 3


def test_what_a_killed_copy_left_in_the_cache_goes_with_the_next_template(
    tmp_path: Path, postgres: dict[str, Path]
) -> None:
    fill(tmp_path, postgres, "one")
    (template,) = (path for path in (tmp_path / "cache/postgres").iterdir() if path.is_dir())
    left = template.with_name(".0123456789abcdef.new")
    template.rename(left)

    assert (fill(tmp_path, postgres, "two") / "PG_VERSION").exists()

    assert [path for path in template.parent.iterdir() if path.is_dir()] == [template]


def test_initdb_works_in_the_services_folder_and_leaves_nothing_there(
    tmp_path: Path, postgres: dict[str, Path]
) -> None:
    fill(tmp_path, postgres, "data")

    assert not (tmp_path / "initdb").exists()
    assert not [*tmp_path.rglob("password")]


def test_an_initdb_that_fails_shows_its_words_and_leaves_no_template(tmp_path: Path, postgres: dict[str, Path]) -> None:
    (tmp_path / "bin/broken").touch()
    with pytest.raises(EnvironmentFailed, match="initdb ended with 1") as caught:
        fill(tmp_path, postgres, "data")
    assert "no space left" in caught.value.detail

    (tmp_path / "bin/broken").unlink()
    assert (fill(tmp_path, postgres, "data") / "PG_VERSION").exists()
    assert runs(tmp_path) == 2
