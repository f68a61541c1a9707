"""Tests of programs behind the image interface: references, ids, and which programs envkit fetches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from envkit.base.errors import EnvironmentFailed, ImageUnavailable
from envkit.base.waiting import Cancel
from envkit.config.models import Service
from envkit.drivers import accounts
from envkit.drivers.supply import binaries
from envkit.drivers.supply import programs as module
from envkit.drivers.supply.binaries import Found, Version, Wanted
from envkit.drivers.supply.programs import Program, Programs


def script(folder: Path, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def service(**process: Any) -> Service:
    return Service.model_validate({"process": process})


def programs(tmp_path: Path, **services: Service) -> Programs:
    return Programs(services, {"PATH": str(tmp_path / "bin")}, tmp_path / "cache")


def fetch(known: Programs, reference: str) -> str:
    return known.pull_first([reference], None, lambda _said: None, Cancel())


def test_what_is_on_path_is_told_with_its_path(tmp_path: Path) -> None:
    tool = script(tmp_path / "bin", "tool")
    known = programs(tmp_path, a=service(command=["tool", "-x"]))

    assert dict(known.ids(["program:tool", "program:other", "program:tool"])) == {"program:tool": f" {tool}"}
    assert known.found("program:tool") == Program("", {"tool": tool}, "PATH")


def test_what_is_not_here_is_an_error_that_names_it(tmp_path: Path) -> None:
    known = programs(tmp_path, a=service(command=["tool"]))

    assert known.id_of("program:tool") == ""
    with pytest.raises(EnvironmentFailed, match="program:tool is not here"):
        known.found("program:tool")
    with pytest.raises(ImageUnavailable, match="tool is not on PATH") as caught:
        fetch(known, "program:tool")
    assert caught.value.hint


def test_what_was_not_here_is_looked_for_again(tmp_path: Path) -> None:
    known = programs(tmp_path, a=service(command=["tool"]))
    assert known.id_of("program:tool") == ""

    tool = script(tmp_path / "bin", "tool")

    assert known.id_of("program:tool") == f" {tool}"


@pytest.fixture
def supplied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, Wanted]]:
    """Fake a supply that finds redis only and can fetch any program; return its recorded calls."""
    asked: list[tuple[str, Wanted]] = []

    def there(wanted: Wanted) -> Found:
        return Found(
            wanted.name, Version((7, 2)), {f"{wanted.name}-server": tmp_path / "s"}, "here", environ={"L": "1"}
        )

    def find(wanted: Wanted, _environ: object, _cache: Path) -> Found | None:
        asked.append(("find", wanted))
        return there(wanted) if wanted.name == "redis" else None

    def ensure(wanted: Wanted, _environ: object, _cache: Path, **_more: object) -> Found:
        asked.append(("ensure", wanted))
        return there(wanted)

    monkeypatch.setattr(binaries, "find", find)
    monkeypatch.setattr(binaries, "ensure", ensure)
    monkeypatch.setattr(accounts, "anybody", lambda: None)
    return asked


def test_a_supply_is_found_once_and_told_with_its_version(tmp_path: Path, supplied: list[Any]) -> None:
    known = programs(tmp_path, r=service(command=["redis-server"], supply="redis", path="/opt", minimum="7.0"))

    assert dict(known.ids(["program:redis", "program:redis"])) == {"program:redis": f"7.2 {tmp_path / 's'}"}
    assert known.found("program:redis").environ == {"L": "1"}
    assert supplied == [("find", Wanted("redis", Version((7, 0)), "/opt"))]


def test_services_of_one_supply_ask_for_it_together(tmp_path: Path, supplied: list[Any]) -> None:
    asked = {
        name: service(command=["redis-server"], supply="redis", minimum=oldest)
        for name, oldest in (("a", None), ("b", "7.10"), ("c", "7.2"))
    }

    programs(tmp_path, **asked).id_of("program:redis")

    assert supplied == [("find", Wanted("redis", Version((7, 10))))]


@pytest.mark.parametrize("tried", [False, True])
def test_a_set_that_lacks_a_program_is_completed_once_then_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tried: bool
) -> None:
    controllers = service(command=["kube-controller-manager"], supply="kubernetes")
    found = Found("kubernetes", Version((1, 34)), {"kube-apiserver": tmp_path}, "here", ("kube-controller-manager",))
    monkeypatch.setattr(binaries, "find", lambda *_asked: found)
    monkeypatch.setattr(binaries, "unfinished", lambda *_asked: not tried)
    known = programs(tmp_path, controllers=controllers, server=service(command=["kube-apiserver"], supply="kubernetes"))

    assert bool(known.id_of("program:kubernetes")) is tried, "what is not here is fetched"
    assert known.lacking(controllers) == ("kube-controller-manager" if tried else "")
    assert known.lacking(known.services["server"]) == ""
    assert known.source_of("program:kubernetes") == "1.34 from here"


def test_what_is_fetched_is_remembered(tmp_path: Path, supplied: list[Any]) -> None:
    known = programs(tmp_path, e=service(command=["etcd"], supply="etcd"))
    assert known.id_of("program:etcd") == ""

    assert fetch(known, "program:etcd") == "program:etcd"

    assert known.id_of("program:etcd") == f"7.2 {tmp_path / 's'}"
    assert [what for what, _ in supplied] == ["find", "ensure"]


@pytest.mark.parametrize(("uid", "user"), [(0, 77), (1000, None)])
def test_postgres_must_be_in_reach_of_who_will_run_it(
    tmp_path: Path, supplied: list[Any], monkeypatch: pytest.MonkeyPatch, uid: int, user: int | None
) -> None:
    monkeypatch.setattr(accounts, "anybody", lambda: 77 if uid == 0 else None)
    programs(tmp_path, p=service(command=["postgres"], supply="postgres")).id_of("program:postgres")

    assert [wanted.user for _, wanted in supplied] == [user]


def test_datastorage_runs_on_this_python_where_that_has_what_it_needs(tmp_path: Path) -> None:
    found = programs(tmp_path).found("program:datastorage")

    assert [*found.paths] == ["python3"]
    assert (Path(found.environ["PYTHONPATH"]) / "envkit/datastorage").is_dir()


def test_datastorage_takes_its_packages_from_the_cache_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from envkit.base.owned import own_folder
    from envkit.drivers.supply import wheels
    from envkit.drivers.supply.sealed import record

    site = tmp_path / "site"
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    monkeypatch.setattr(wheels, "site_here", lambda _cache: site)

    def make(*_given: object) -> None:
        own_folder(site)
        record(site)

    monkeypatch.setattr(wheels, "fetch_site_here", make)
    known = programs(tmp_path)
    assert known.id_of("program:datastorage") == ""

    fetch(known, "program:datastorage")

    assert known.found("program:datastorage").environ["PYTHONPATH"].endswith(f":{site}")
