"""Tests of the detectors: repeated observations become one message each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from envkit.planning.facts import Instance
from envkit.watch import detectors
from envkit.watch.timeline import Happening

GIB = 1 << 30
RUNS = Instance(
    "abc", "envkit-e-redis", "redis", "running", exit_code=None, started_at="2026-01-01T00:00:00", memory=GIB
)


def kinds(found: Iterable[object]) -> list[str]:
    return [one.kind for one in found if isinstance(one, Happening)]


def test_a_service_that_goes_on_is_no_news() -> None:
    assert kinds(detectors.change(1.0, RUNS, RUNS)) == []


def test_a_death_carries_its_exit_code() -> None:
    (said,) = detectors.change(1.0, RUNS, replace(RUNS, state="exited", exit_code=3))
    assert (said.kind, said.service, said.message) == ("died", "redis", "exited with 3")
    assert said.detail["exit_code"] == 3 and said.detail["oom"] is False


def test_a_kill_by_somebody_is_no_proof_of_too_little_memory() -> None:
    assert kinds(detectors.change(1.0, RUNS, replace(RUNS, state="exited", exit_code=137))) == ["died"]


def test_a_death_for_want_of_memory_is_said_as_that_too() -> None:
    ended = replace(RUNS, state="exited", exit_code=137, oom_killed=True)
    assert kinds(detectors.change(1.0, RUNS, ended)) == ["died", "oom"]


def test_a_restart_between_two_looks_is_seen_by_its_beginning() -> None:
    assert kinds(detectors.change(1.0, RUNS, replace(RUNS, started_at="2026-01-01T00:00:09"))) == ["restarted"]
    assert kinds(detectors.change(1.0, replace(RUNS, state="exited"), replace(RUNS, id="def"))) == ["restarted"]


def test_a_pause_and_its_end() -> None:
    paused = replace(RUNS, state="paused")
    assert kinds(detectors.change(1.0, RUNS, paused)) == ["unhealthy"]
    assert kinds(detectors.change(1.0, paused, RUNS)) == ["recovered"]


def test_one_failed_probe_is_a_busy_machine_two_are_news_and_so_is_the_recovery() -> None:
    health = detectors.Health("redis")
    said = [kinds(health.saw(1.0, seen)) for seen in ("no", None, "no", "no", "no", None, None)]
    assert said == [[], [], [], ["unhealthy"], [], ["recovered"], []]


def test_after_a_death_the_return_is_said_and_the_failing_probe_is_not() -> None:
    health = detectors.Health("redis")
    health.dead()
    assert kinds(health.saw(1.0, "refused")) == []
    assert kinds(health.saw(1.0, None)) == ["recovered"]


def test_memory_near_its_limit_is_said_once_until_it_was_away_from_it() -> None:
    level = detectors.Level("redis", "data in memory")
    said = [kinds(level.saw(1.0, used, 100)) for used in (50, 90, 95, 85, 91, 79, 90)]
    assert said == [[], ["memory"], [], [], [], [], ["memory"]]
    assert kinds(level.saw(1.0, 100, 0)) == [], "no limit"


def redis(**values: float | str) -> dict[str, float | str]:
    return {"used_memory": 1.0, "maxmemory": 100.0, "evicted_keys": 0.0, "refused_writes": 0.0, "run_id": "a", **values}


def test_redis_that_drops_keys_or_refuses_writes() -> None:
    seen = detectors.RedisSigns("redis")
    assert kinds(seen.saw(1.0, redis(evicted_keys=5.0))) == [], "of an earlier run"
    assert kinds(seen.saw(2.0, redis(evicted_keys=6.0))) == ["evicting"]
    assert kinds(seen.saw(3.0, redis(evicted_keys=9.0))) == [], "said"
    assert kinds(seen.saw(4.0, redis(evicted_keys=9.0, refused_writes=2.0))) == ["oom"]


def test_redis_started_again_unseen_has_lost_its_data() -> None:
    seen = detectors.RedisSigns("redis")
    list(seen.saw(1.0, redis(evicted_keys=5.0)))
    assert kinds(seen.saw(2.0, redis(run_id="b"))) == ["restarted"]


def test_postgresql_running_out_of_connections() -> None:
    seen = detectors.PostgresSigns("postgres")
    values = {"connections": 50.0, "max_connections": 100.0, "started": 7.0}
    assert kinds(seen.saw(1.0, values)) == []
    assert kinds(seen.saw(1.0, {**values, "connections": 95.0})) == ["unhealthy"]
    assert kinds(seen.saw(1.0, {**values, "started": 8.0})) == ["restarted"]


def test_the_api_server_away_slow_and_refusing() -> None:
    api = detectors.ApiSigns()
    assert [kinds(api.silent(1.0, "refused")) for _ in range(3)] == [[], ["apiserver"], []]
    assert kinds(api.saw(2.0, {"ready": 1.0, "latency": 0.1})) == ["recovered"]
    assert kinds(api.saw(2.0, {"ready": 1.0, "latency": 4.0})) == ["apiserver"]
    assert kinds(api.saw(2.0, {"rejected": 3.0})) == [], "before this run"
    (said,) = api.saw(2.0, {"rejected": 5.0})
    assert said.kind == "apiserver" and said.detail == {"rejected": 2, "status": 429}


def test_a_disk_that_fills_up() -> None:
    disk = detectors.DiskSigns()
    free = [GIB, detectors.SCARCE - 1, 1, GIB, 1]
    assert [kinds(disk.saw(1.0, "/", one)) for one in free] == [[], ["disk"], [], [], ["disk"]]
