"""Tests of `doctor`: each check on a host built for it, and the lanes that the findings allow."""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from envkit.base.errors import EngineError, EnvironmentFailed, UsageError
from envkit.cli.flags import Flags
from envkit.cli.verbs import doctor as doctoring
from envkit.config.load import Request, load
from envkit.doctor import cluster, engines, network_checks, resources
from envkit.doctor.examine import Examined, examine, registered
from envkit.doctor.finding import ENGINES, LANES, Finding, Fix
from envkit.doctor.host import Host
from envkit.drivers.engine.endpoint import Endpoint
from tests.unit.sockets import answering, tcp

DOCKER = Endpoint("docker", "unix:///var/run/docker.sock", "27.1", "usual socket")
PODMAN = Endpoint("podman", "unix:///run/user/7/podman/podman.sock", "5.2", "rootless Podman", rootless=True)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Any]:
    """Return a function that makes hosts: files below a temporary root, programs that print text, and engines."""

    def make(
        files: dict[str, str] | None = None, programs: dict[str, str] | None = None,
        found: tuple[Endpoint, ...] = (), silent: dict[str, str] | None = None, **environ: str,
    ) -> Host:  # fmt: skip
        for name, text in (files or {}).items():
            path = tmp_path / "root" / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        bin_ = tmp_path / "bin"
        bin_.mkdir(exist_ok=True)
        for name, script in (programs or {}).items():
            (bin_ / name).write_text(f"#!/bin/sh\n{script}\n")
            (bin_ / name).chmod(0o755)
        host = Host({"PATH": str(bin_), **environ}, tmp_path / "state", tmp_path / "cache", tmp_path / "root", uid=7)
        host.system = "linux"
        host._engines = (found, silent or {})
        return host

    yield make


def one(findings: Iterable[Finding]) -> Finding:
    (found,) = findings
    return found


def named(findings: Any) -> dict[str, Finding]:
    return {found.name: found for found in findings}


# Engines


def test_an_engine_that_answers_makes_the_other_unneeded(made: Any) -> None:
    found = named(engines.engines(made(found=(DOCKER,))))
    assert {name: it.state for name, it in found.items()} == {"engine": "ok", "docker": "ok", "podman": "ok"}
    assert "not needed" in found["podman"].seen


def test_without_any_the_lanes_of_engines_cannot_be_used(made: Any) -> None:
    found = named(engines.engines(made()))
    assert found["engine"].state == "lacking" and found["engine"].lanes == ENGINES
    assert found["docker"].seen == "not installed" and "https://" in found["docker"].remedy


def test_a_stopped_docker_is_started_by_root(made: Any) -> None:
    found = named(engines.engines(made(programs={"dockerd": "", "docker": ""}, files={"/run/systemd/system/x": ""})))
    assert found["docker"].as_root == ("systemctl start docker",)
    assert not found["docker"].fixable
    elsewhere = named(engines.engines(made(programs={"dockerd": ""})))["docker"]
    assert elsewhere.seen.startswith("installed, but not running")


def test_a_socket_that_this_user_may_not_use(made: Any) -> None:
    silent = {DOCKER.url: "[Errno 13] Permission denied"}
    found = named(engines.engines(made(silent=silent, USER="me")))["docker"]
    assert (found.state, found.as_root) == ("warning", ("usermod -aG docker me",))


def test_podmans_service_can_be_started_by_its_user(made: Any, tmp_path: Path) -> None:
    host = made(programs={"podman": ""}, XDG_RUNTIME_DIR=str(tmp_path / "run"))
    found = named(engines.engines(host))["podman"]
    assert found.fix and str(tmp_path / "run/podman/podman.sock") in found.fix.what


def test_a_unit_of_systemds_is_how_podmans_service_is_started(made: Any) -> None:
    host = made(programs={"podman": "exit 9", "systemctl": "exit 0"})
    assert engines.serve(host) == "systemctl --user start podman.socket"


def test_an_address_that_was_set_and_does_not_answer(made: Any) -> None:
    host = made(silent={"tcp://10.0.0.1:2375": "refused"}, DOCKER_HOST="tcp://10.0.0.1:2375")
    found = named(engines.engines(host))["DOCKER_HOST"]
    assert found.state == "lacking" and found.remedy == "unset DOCKER_HOST"


def test_a_context_that_is_not_there_is_told_once(made: Any) -> None:
    host = made()

    class Wrong(Host):
        @property
        def engines(self) -> Any:
            raise EngineError("DOCKER_CONTEXT=x: there is no such context", hint="unset it")

    wrong = Wrong(host.environ, host.home, host.cache, host.root)
    assert one(engines.engines(wrong)).remedy == "unset it"
    assert list(wrong.endpoints) == []


UNITS = "/sys/fs/cgroup/user.slice/user-7.slice/user@7.service/cgroup.controllers"


def test_controllers_that_are_not_delegated(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 7)
    v1 = one(engines.rootless(made(found=(PODMAN,))))
    assert v1.state == "lacking" and "cgroup v1" in v1.seen
    files = {"/sys/fs/cgroup/cgroup.controllers": "cpu memory pids", UNITS: "memory pids"}
    some = one(engines.rootless(made(files, found=(PODMAN,))))
    assert some.state == "lacking" and some.seen.endswith(": cpu") and some.as_root
    assert one(engines.rootless(made({UNITS: "cpuset cpu io memory pids"}, found=(PODMAN,)))).state == "ok"


def test_versions_of_cgroups(made: Any) -> None:
    assert "no memory controller" in one(engines.cgroups(made())).seen
    assert one(engines.cgroups(made({"/sys/fs/cgroup/memory/x": ""}))).state == "warning"
    assert one(engines.cgroups(made({"/sys/fs/cgroup/cgroup.controllers": ""}))).seen == "version 2"


# The cluster


@pytest.mark.parametrize(
    ("script", "state", "seen"),
    [
        ("echo 'kind v0.27.0 go1.23 linux/amd64'", "ok", "0.27"),
        ("echo 'kind v0.11.1 go1.16 linux/amd64'", "lacking", "older than 0.20"),
        ("echo broken >&2; exit 3", "lacking", "broken"),
    ],
)
def test_kind_is_asked_for_its_version(made: Any, script: str, state: str, seen: str) -> None:
    found = one(cluster.kind(made(programs={"kind": script})))
    assert found.state == state and seen in found.seen and found.lanes == ("containers",)


def test_kind_that_is_not_here(made: Any) -> None:
    assert one(cluster.kind(made())).state == "lacking"


def test_inotify_limits_are_raised_by_root(made: Any) -> None:
    limits = "/proc/sys/fs/inotify/max_user_"
    low = one(cluster.inotify(made({f"{limits}instances": "128", f"{limits}watches": "600000"})))
    assert low.state == "warning" and low.as_root[0] == "sysctl fs.inotify.max_user_instances=512"
    assert low.as_root[1].endswith(">/etc/sysctl.d/99-envkit.conf")
    assert one(cluster.inotify(made({f"{limits}instances": "1024"}))).state == "ok"


def test_root_in_a_box_may_lack_capabilities(made: Any) -> None:
    host = made({"/proc/self/status": "Name:\tx\nCapEff:\t00000000a80425fb\n"})
    assert list(cluster.capabilities(host)) == [], "who is not root needs none"
    host.uid = 0
    assert "CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_SYS_RESOURCE" in one(cluster.capabilities(host)).seen
    host = made({"/proc/self/status": "CapEff:\t000001ffffffffff\n"})
    host.uid = 0
    assert one(cluster.capabilities(host)).state == "ok"


# The rest of the host


def test_a_proxy_that_would_be_asked_for_loopback(made: Any) -> None:
    given = {"http_proxy": "http://me:secret@proxy.corp:3128"}
    found = one(network_checks.proxies(made(**given)))
    assert found.state == "warning" and "proxy.corp:3128" in found.seen and "secret" not in found.seen
    assert one(network_checks.proxies(made(**given, NO_PROXY="10.0.0.1, 127.0.0.1"))).state == "ok"
    assert one(network_checks.proxies(made())).state == "ok"


def test_ports_that_others_hold_are_named_with_their_holder(made: Any, tmp_path: Path) -> None:
    with tcp(answering(b"")) as port:
        (tmp_path / "envkit.yaml").write_text(f"services: {{a: {{image: i, ports: {{http: '{port}:80'}}}}}}\n")
        environment = load(Request.of({}, tmp_path, file="envkit.yaml"))
        found = one(network_checks.Ports(environment)(made()))
        assert found.name == f"port {port}" and f"process {os.getpid()}" in found.seen
        assert one(network_checks.Ports(environment, ours=frozenset({port}))(made())).state == "ok"


def test_a_configuration_that_cannot_be_read_is_one_finding(made: Any) -> None:
    assert one(network_checks.Ports(None, "it has 2 faults")(made())).seen == "it has 2 faults"


def test_disk_and_memory_are_told_for_every_lane(made: Any) -> None:
    assert {found.name for found in resources.disk(made())} == {"disk (state)", "disk (cache)"}
    assert one(resources.memory(made())).lanes == LANES
    assert resources._state(1, (2, 3)) == "lacking" and resources._state(2, (2, 3)) == "warning"
    assert len(list(resources.files_and_processes(made()))) == 2


# All checks together


def test_checks_run_side_by_side_and_one_that_hangs_holds_nobody_up(made: Any) -> None:
    never, together = threading.Event(), threading.Barrier(2)

    def meets(_host: Host) -> list[Finding]:
        together.wait(10)
        return [Finding("met", (), "ok", "")]

    def hangs(_host: Host) -> list[Finding]:
        never.wait()
        return []

    def fails(_host: Host) -> list[Finding]:
        raise EnvironmentFailed("the disk is gone")

    try:
        checks = [("a", meets), ("b", meets), ("late", hangs), ("wrong", fails)]
        examined = examine(made(), checks, seconds=2.0)
    finally:
        never.set()
    assert [found.name for found in examined.findings] == ["met", "met", "late", "wrong"]
    assert "no answer within 2 s" in examined.findings[2].seen
    assert examined.findings[3].seen == "could not be checked: the disk is gone"


def test_a_lane_is_usable_when_nothing_of_it_is_lacking() -> None:
    examined = Examined((Finding("engine", ENGINES, "lacking", ""), Finding("x", LANES, "warning", "")), 0.0)
    assert [examined.usable(lane) for lane in ("auto", "containers", "mixed", "embedded")] == [True, False, False, True]
    assert not Examined((Finding("memory", LANES, "lacking", ""),), 0.0).usable()


def test_every_check_looks_only(made: Any) -> None:
    """Run on this machine, whatever it has: no check raises an error, and each finding has a message."""
    host = made()
    for _, check in registered():
        if check is network_checks.leftovers:
            continue  # this check queries every engine of this machine
        for found in check(host):
            assert found.name and found.seen and set(found.lanes) <= set(LANES)


# The command


@pytest.fixture
def told(made: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that runs `doctor` on given findings and returns the exit code and the fixes done."""
    done: list[str] = []

    def run(*findings: Finding, fix: bool = False, yes: bool = False, **flags: Any) -> tuple[int, list[str]]:
        monkeypatch.setattr(doctoring, "_examine", lambda _host, _flags: Examined(findings, 0.1))
        return doctoring.doctor(Flags(environ={}, **flags), fix=fix, yes=yes), done

    run.mend = Fix("mend it", lambda: done.append("mended") or "it is well")  # type: ignore[attr-defined,func-returns-value]  # a stand-in; append gives None
    return run


def test_the_exit_code_is_about_the_lane_that_is_asked_for(told: Any) -> None:
    lack = Finding("engine", ENGINES, "lacking", "none", "start one", ("systemctl start docker",))
    assert told(lack)[0] == 0
    assert told(lack, lane="containers")[0] == 3
    assert told(lack, lane="embedded")[0] == 0


def test_remedies_and_commands_for_root_are_shown(told: Any, capsys: pytest.CaptureFixture[str]) -> None:
    told(Finding("engine", ENGINES, "lacking", "none", "start one", ("systemctl start docker",)))
    shown = capsys.readouterr().out
    assert "LACKING  engine  none" in shown and "-> start one" in shown
    assert "as root:\n  systemctl start docker\n" in shown
    assert "lane containers cannot be used: engine" in shown and "lane embedded   can be used" in shown


def test_nothing_is_mended_without_a_yes(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sick = Finding("leftover x", (), "warning", "old", fix=told.mend)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(UsageError, match="nothing was done"):
        told(sick, fix=True)
    assert told(sick, fix=True, yes=True)[1] == ["mended"]


def test_a_program_is_told_what_was_found_and_mended(told: Any, capsys: pytest.CaptureFixture[str]) -> None:
    told(Finding("leftover x", (), "warning", "old", fix=told.mend), fix=True, yes=True, json=True)
    body = json.loads(capsys.readouterr().out)
    assert body["fixed"] == ["mend it: it is well"]
    assert body["findings"][0]["fixable"] is True
    assert body["lanes"]["embedded"] == {"usable": True, "lacking": []}


def test_a_fix_that_fails_is_told_and_the_next_is_tried(told: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> str:
        raise EnvironmentFailed("not today")

    _, done = told(
        Finding("a", (), "warning", "x", fix=Fix("do a", fails)), Finding("b", (), "warning", "x", fix=told.mend),
        fix=True, yes=True,
    )  # fmt: skip
    assert done == ["mended"]
    assert "do a: failed: not today" in capsys.readouterr().out
