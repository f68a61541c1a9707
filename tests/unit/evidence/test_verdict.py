"""Tests of the verdict on a failed run: each rule, and how the tests' messages change the confidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from envkit.base import errors
from envkit.evidence.findings import DiskFact, Findings, LogSign, ServiceFact
from envkit.evidence.junit import Failure, Report
from envkit.evidence.verdict import Verdict, judge
from envkit.watch.timeline import Happening

PORTS = {16380: "redis.redis", 15437: "postgres.postgres", 6443: "cluster.api"}
WELL = (ServiceFact("redis"), ServiceFact("postgres"))
REFUSED = "dial tcp 127.0.0.1:16380: connect: connection refused"
ASSERTED = "assert 3 == 4"
MINUTE = 60.0


@dataclass
class Run:
    """A run that ended with 1 in a healthy environment; each test changes some of its findings."""

    found: Findings = field(default_factory=lambda: Findings(code=1, services=WELL, ports=PORTS))

    def judged(self, *messages: str, **changed: Any) -> Verdict:
        """Return the verdict for failed tests with these messages, one second apart, from minute one on."""
        failed = tuple(Failure(f"t{number}", text, MINUTE + number) for number, text in enumerate(messages))
        tests = Report(("r.xml",), 10, len(failed), 0, failed) if messages else None
        return judge(replace(self.found, tests=tests, **changed))


def happened(kind: Any, service: str = "redis", at: float = 30.0, message: str = "", **detail: Any) -> Happening:
    return Happening(at, kind, service, message, detail)


def short(verdict: Verdict) -> tuple[str, str]:
    return verdict.fault, verdict.confidence


def test_success_is_nobodys_fault_whatever_happened() -> None:
    verdict = Run().judged(code=0, happenings=(happened("restarted"),))
    assert short(verdict) == ("none", "certain")
    assert any("redis was restarted" in line for line in verdict.because)


def test_without_a_command_it_is_the_environment_that_is_judged() -> None:
    assert Run().judged(code=None).fault == "none"
    assert "nothing of the environment" in Run().judged(code=None, services=None).reason
    broken = (ServiceFact("redis", "exited with 1", 1), ServiceFact("postgres"))
    assert short(Run().judged(code=None, services=broken)) == ("environment", "certain")


# Trouble of the environment

DOWN = (ServiceFact("redis", "exited with 137", 137), ServiceFact("postgres"))
PAUSED = (ServiceFact("redis"), ServiceFact("postgres", "is paused", paused=True))
SILENT = (ServiceFact("redis"), ServiceFact("postgres", "no answer: timed out"))
GONE = (ServiceFact("redis", "is gone", absent=True), ServiceFact("postgres"))
FULL = {"redis": {"maxmemory": "1000", "used_memory": "990", "maxmemory_policy": "noeviction"}}
EVICTED = {"redis": {"maxmemory": "1000", "used_memory": "990", "maxmemory_policy": "allkeys-lru", "evicted": 12.0}}
KILLED = "was killed by the kernel because it ran out of memory (exit 137)"
NEAR = happened("memory", at=20.0, message="95 of 100 MiB", what="memory of the whole service")

TROUBLE: Mapping[str, tuple[dict[str, Any], str, str]] = {
    "died": ({"services": DOWN, "happenings": (happened("died", exit_code=137),)}, "certain", "redis died (exit 137)"),
    "died unwatched": ({"services": DOWN}, "certain", "redis does not run: it exited with 137"),
    "vanished": ({"services": GONE}, "certain", "redis does not run: it is gone"),
    "died and came back": ({"happenings": (happened("died", exit_code=1),)}, "likely", "redis died (exit 1)"),
    "restarted": ({"happenings": (happened("restarted"),)}, "likely", "redis was restarted"),
    "killed by the kernel": ({"happenings": (happened("died", message=KILLED),)}, "certain", "by the kernel"),
    "killed near its limit": ({"happenings": (NEAR, happened("died", oom=True))}, "certain", "by the kernel"),
    "out of memory now": ({"services": (ServiceFact("redis", "gone", 137, oom=True),)}, "certain", "by the kernel"),
    "near its limit": ({"happenings": (NEAR,)}, "possible", "redis came near its memory limit"),
    "paused": ({"services": PAUSED}, "certain", "postgres is paused"),
    "silent now": ({"services": SILENT}, "certain", "postgres does not answer: no answer: timed out"),
    "silent for a while": (
        {"happenings": (happened("unhealthy", "postgres", 30.0, "no answer"), happened("recovered", "postgres", 42.0))},
        "likely", "postgres did not answer for 12 s",
    ),
    "few connections": (
        {"happenings": (happened("unhealthy", "postgres", message="95 of 100 taken", max_connections=100),)},
        "possible", "postgres was short of connections",
    ),
    "API server down": ({"cluster": "no answer"}, "certain", "the API server does not answer"),
    "API server was down": ({"happenings": (happened("apiserver", "cluster", seen="EOF"),)}, "likely", "for a while"),
    "API server slow": (
        {"happenings": (happened("apiserver", "cluster", message="took 3 s", slow=True),)}, "possible", "took 3 s",
    ),
    "throttled": (
        {"happenings": (happened("apiserver", "cluster", message="refused 7", status=429),)}, "likely", "throttled",
    ),
    "Redis full": ({"redis": FULL}, "certain", "redis is full (99% of maxmemory) and refuses writes"),
    "Redis refused": (
        {"happenings": (happened("oom", message="refuses", what="maxmemory"),)}, "likely", "redis refused writes",
    ),
    "Redis evicted": ({"redis": EVICTED}, "possible", "redis evicted 12 keys at maxmemory (allkeys-lru)"),
    "Redis was evicting": ({"happenings": (happened("evicting", message="full"),)}, "possible", "redis evicted keys"),
    "disk full": ({"disks": (DiskFact("/x", 1 << 20),)}, "certain", "the disk at /x is full: 1 MiB are free"),
    "no inodes": ({"disks": (DiskFact("/x", 1 << 40, 0),)}, "certain", "no file can be made"),
    "disk nearly full": ({"happenings": (happened("disk", "", message="100 MiB free"),)}, "likely", "nearly full"),
    "full disk in a log": (
        {"logs": (LogSign("postgres", "disk", "No space left on device"),)}, "likely", "postgres reported a full disk",
    ),
    "engine gone": ({"engine": "connection refused", "services": None}, "certain", "the container engine does not"),
    "engine was gone": (
        {"happenings": (happened("error", "", message="no answer", **{"class": "EngineError"}),)}, "likely", "engine",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", TROUBLE)
def test_trouble_of_the_environment(what: str) -> None:
    changed, confidence, reason = TROUBLE[what]
    verdict = Run().judged(**changed)
    assert verdict.fault == "environment", verdict.text()
    assert verdict.confidence == confidence, verdict.text()
    assert reason in verdict.reason, verdict.text()
    assert verdict.next, "what to do next"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (errors.PortTaken("port 1 is held by x"), "a port is taken: port 1 is held by x"),
        (errors.ImageUnavailable("none of a, b"), "an image is not available"),
        (errors.EngineError("no"), "the container engine failed"),
        (errors.ToolMissing("kind"), "a program that envkit drives is missing"),
        (errors.ServiceDied("x"), "a service died during its start"),
        (errors.NotReady("x"), "not ready in time"),
        (errors.ClusterError("x"), "the cluster failed"),
        (errors.StepsFailed({"a": errors.NotReady("one"), "b": errors.NotReady("two")}), "several steps failed"),
        (errors.ConfigError([errors.Fault("f", "p", "m")]), "the configuration cannot be used"),
        (errors.HolderError("x"), "another checkout"),
        (errors.Bug("x"), "an internal error"),
    ],
)
def test_an_error_of_envkits_is_the_environments(error: errors.EnvkitError, says: str) -> None:
    verdict = judge(Findings(error=error))
    assert short(verdict) == ("environment", "certain")
    assert says in verdict.reason
    assert "\n" not in verdict.headline


def test_a_cancelled_run_is_nobodys_unless_something_is_broken() -> None:
    assert judge(Findings(error=errors.Cancelled(15), signum=15, services=WELL)).fault == "unknown"
    assert judge(Findings(signum=15, services=WELL)).fault == "unknown"
    assert judge(Findings(error=errors.Cancelled(15), signum=15, services=PAUSED)).fault == "environment"


# Messages of the tests


def test_assertions_in_a_healthy_environment_are_the_tests() -> None:
    verdict = Run().judged(ASSERTED, ASSERTED)
    assert short(verdict) == ("test", "certain")
    assert "2 of 10 tests failed, first t0" in verdict.reason
    assert ASSERTED in verdict.because


def test_no_report_is_less_sure() -> None:
    assert short(Run().judged()) == ("test", "likely")


def test_tests_that_complain_of_it_confirm_a_suspicion() -> None:
    verdict = Run().judged(REFUSED, ASSERTED, happenings=(happened("restarted"),))
    assert short(verdict) == ("environment", "certain")
    assert any("1 of 2 failed tests report it, first t0" in line for line in verdict.because)


def test_a_restart_on_purpose_does_not_excuse_other_failures() -> None:
    """The suite of the dead-letter queue kills Redis on purpose."""
    verdict = Run().judged(ASSERTED, happenings=(happened("died", exit_code=137), happened("restarted", at=31.0)))
    assert short(verdict) == ("test", "likely")
    assert any("against it: redis died" in line for line in verdict.because)


def test_what_happened_after_the_last_failure_explains_none() -> None:
    late = (happened("died", at=2 * MINUTE, exit_code=1),)
    verdict = Run().judged(ASSERTED, happenings=late, services=DOWN)
    assert verdict.fault == "test", verdict.text()
    early = (happened("died", at=MINUTE - 1, exit_code=1),)
    assert short(Run().judged(ASSERTED, happenings=early, services=DOWN)) == ("environment", "likely")


def test_one_silence_of_a_busy_machine_is_less_than_certain() -> None:
    """The environment was healthy for the whole run; only the last check got no answer."""
    watched = (happened("phase", "", message="up"),)
    for trouble in ({"services": SILENT}, {"cluster": "no answer"}):
        assert short(Run().judged(happenings=watched, **trouble)) == ("environment", "likely")
        assert Run().judged(ASSERTED, happenings=watched, **trouble).fault == "test"


def test_evictions_are_a_suspicion_and_no_more() -> None:
    verdict = Run().judged(ASSERTED, redis=EVICTED)
    assert short(verdict) == ("test", "likely")
    assert any("evicted 12 keys" in line for line in verdict.because)


@pytest.mark.parametrize("said", ["OOM command not allowed when used memory > 'maxmemory'.", "No space left on device"])
def test_what_only_the_machine_says(said: str) -> None:
    assert Run().judged(said).fault == "environment"


def test_another_port_than_the_environments_is_the_suites_mistake() -> None:
    """The suite's variable was unset, and the code fell back to a wrong port."""
    verdict = Run().judged("Post http://localhost:18090/api: dial tcp 127.0.0.1:18090: connect: connection refused")
    assert verdict.fault == "test"
    assert "tried port 18090, which does not belong to the environment" in verdict.reason


def test_a_refused_connection_to_a_service_that_is_well_now() -> None:
    verdict = Run().judged(REFUSED)
    assert short(verdict) == ("environment", "possible")
    assert "could not reach redis.redis on port 16380" in verdict.reason


def test_metrics_that_were_registered_twice() -> None:
    assert short(Run().judged("panic: duplicate metrics collector registration attempted")) == ("test", "certain")


@pytest.mark.parametrize(
    "said",
    [
        'psycopg.errors.InsufficientPrivilege: permission denied to create extension "dblink"',
        "ERROR: must be superuser or have privileges of the pg_execute_server_program role to COPY",
        "ERR CONFIG SET failed (possibly related to argument 'dir') - can't set protected config",
        "NOPERM this user has no permissions to run the 'config' command or its subcommand",
        'ERR DEBUG command not allowed. If the enable-debug-command option is set to "local"',
    ],
)
def test_a_right_that_the_presets_do_not_give(said: str) -> None:
    verdict = Run().judged(said)
    assert short(verdict) == ("test", "likely")
    assert "lack a permission" in verdict.reason
    assert "superuser: true" in verdict.text()


# Exit codes


@pytest.mark.parametrize(
    ("code", "argv", "fault"),
    [
        (1, ("go", "test"), "test"), (2, ("pytest",), "test"), (4, ("python", "-m", "pytest"), "test"),
        (5, ("pytest",), "test"), (127, ("x",), "test"), (139, ("x",), "test"), (137, ("x",), "unknown"),
        (143, ("x",), "unknown"), (124, ("timeout",), "unknown"), (125, ("docker",), "unknown"),
    ],
)  # fmt: skip
def test_exit_codes(code: int, argv: tuple[str, ...], fault: str) -> None:
    verdict = Run().judged(code=code, argv=argv)
    assert verdict.fault == fault, verdict.text()
    assert str(code) in verdict.reason
    assert Run().judged(code=code, argv=argv, services=PAUSED).fault == "environment"


def test_the_text_says_it_all() -> None:
    text = Run().judged(REFUSED, services=DOWN).text()
    first, *rest = text.splitlines()
    assert first == "verdict: the environment's fault (certain): redis does not run: it exited with 137"
    assert rest[-1].startswith("next: ")
    assert "  - the command's reports: 10 tests, 1 failed" in rest
