"""Tests of evidence on the fake engine: the content, missing sources, and sources that answer too late."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from envkit.base.errors import EngineError, PortTaken
from envkit.base.paths import Paths, write_private
from envkit.drivers.runtimes.base import Unit
from envkit.drivers.runtimes.fake import FakeEngine, Script
from envkit.evidence import gathering, judge
from envkit.evidence.collectors import Collector, every
from envkit.evidence.collectors.context import CollectionContext
from envkit.evidence.findings import Findings
from envkit.inventory import state
from envkit.watch.folder import RunFolder, new
from envkit.watch.timeline import Happening, Sample, Writer
from tests.support.fake_session import Session, opened
from tests.support.operations import collect, gather, look
from tests.unit.wants import environment

QUICK = 3.0


@pytest.fixture
def engine() -> FakeEngine:
    """Return an engine with one service that writes one log line."""
    made = FakeEngine(scripts={"app": Script(log="a line with hunter-secret-2\n")})
    made.images.there["i"] = "sha256:i"
    return made


@pytest.fixture
def session(tmp_path: Path, engine: FakeEngine) -> Session:
    """Return an environment in which that service is up."""
    services = {"app": {"env": {"APP_PASSWORD": "hunter-secret-2"}}}
    made = opened(environment(services), tmp_path / "home", engine)
    engine.networks.create("t", made.claim.owner)
    engine.start(Unit("t", made.claim.owner, "app", made.environment.services["app"], "i", "f"))
    return made


def collector(name: str, work: Callable[[CollectionContext], None], seconds: float = QUICK) -> Collector:
    return Collector(name, work, seconds)


def run_of(paths: Paths, *happenings: Happening, **facts: Any) -> RunFolder:
    """Write the folder of a run and return it."""
    for old in paths.runs.glob("*"):
        shutil.rmtree(old)
    folder = new(paths)
    folder.write_facts(**{"argv": ["go", "test"], "began": time.time() - 60, "code": 1, **facts})
    writer = Writer(folder.timeline)
    for one in happenings:
        writer(one)
    writer.close()
    return folder


def test_the_index_begins_with_the_cause_and_says_what_is_where(session: Session) -> None:
    died = Happening(time.time() - 30, "died", "app", "exited with 3", {"exit_code": 3})
    run = run_of(session.paths, died)
    folder = collect(session, run.path, seconds=20)
    page = (folder / "index.md").read_text()
    assert page.startswith("# verdict: the environment's fault (likely): app died (exit 3)")
    assert "Command: `go test`, ended with 1." in page
    assert "app: died: exited with 3" in page
    assert "`logs` (1 files" in page
    assert folder.parent == session.paths.evidence
    assert json.loads((folder / "run/run.json").read_text())["code"] == 1
    for name in ("logs/app.log", "environment/configuration.yaml", "environment/plan.txt", "host/summary.txt",
                 "host/ports.txt", "versions.yaml", "probes-now.yaml", "inspect/app.json"):  # fmt: skip
        assert (folder / name).stat().st_size, name


def test_no_planted_secret_is_in_any_byte(session: Session) -> None:
    run = run_of(session.paths, argv=["login", "--password", "hunter-secret-2"])
    folder = collect(session, run.path, seconds=20)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert "a line with REDACTED" in (folder / "logs/app.log").read_text()
    assert not [path for path in files if b"hunter-secret" in path.read_bytes()]


def test_a_collector_that_fails_or_hangs_leaves_a_note_and_no_more(session: Session) -> None:
    go = Event()

    def fails(_scene: CollectionContext) -> None:
        raise EngineError("the engine is gone")

    def hangs(scene: CollectionContext) -> None:
        go.wait()
        scene.bundle.text("late.txt", "x")

    def works(scene: CollectionContext) -> None:
        scene.bundle.text("good.txt", "x")

    chosen = [collector("slow", hangs, 0.2), collector("broken", fails), collector("good", works)]
    folder = collect(session, None, seconds=30, collectors=chosen, findings=Findings())
    go.set()
    page = (folder / "index.md").read_text()
    assert (folder / "good.txt").exists()
    assert not (folder / "late.txt").exists()
    assert "slow: not finished" in page
    assert "broken: the engine is gone" in page


def test_the_deadline_is_the_whole_things(session: Session) -> None:
    go = Event()
    chosen = [collector(f"{number}", lambda _scene: bool(go.wait()) and None, 60) for number in range(5)]
    began = time.monotonic()
    folder = collect(session, None, seconds=1, collectors=chosen, findings=Findings())
    go.set()
    assert time.monotonic() - began < 20, "not five minutes"
    assert (folder / "index.md").read_text().count("not finished") == 5


def test_a_cancelled_session_collects_all_the_same(session: Session) -> None:
    session.cancel.set(15)
    folder = collect(session, None, seconds=20)
    assert "a line" in (folder / "logs/app.log").read_text()
    assert "app: runs" in (folder / "probes-now.yaml").read_text()


def test_an_engine_that_is_gone_is_the_verdict(session: Session, engine: FakeEngine, tmp_path: Path) -> None:
    engine.broken = "gone"
    found = look(session, None, code=1)
    assert "does not answer: observe t: the engine did not answer: gone" in judge(found).reason
    folder = collect(session, None, seconds=20, into=tmp_path / "artifacts", findings=found)
    assert folder.parent == tmp_path / "artifacts"
    assert (folder / "host/summary.txt").exists()
    assert "service logs: observe t" in (folder / "index.md").read_text()


def test_it_goes_elsewhere_where_it_cannot_be_written(session: Session, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    folder = collect(session, None, seconds=20, into=tmp_path / "file", collectors=[], findings=Findings())
    assert "not written to the requested folder" in (folder / "index.md").read_text()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def test_only_the_last_pieces_are_kept(session: Session) -> None:
    made = [collect(session, None, seconds=5, collectors=[], findings=Findings()) for _ in range(gathering.KEPT + 2)]
    assert sorted(session.paths.evidence.iterdir()) == made[-gathering.KEPT :]


def test_gather_judges_a_failed_run_and_not_one_that_succeeded(session: Session) -> None:
    restarted = Happening(time.time() - 30, "restarted", "app", "was started again")
    run_of(session.paths, restarted, code=0)
    assert gather(session).verdict.fault == "none"
    run_of(session.paths, restarted, code=1)
    assert gather(session).verdict.fault == "environment"
    assert gather(session, error=PortTaken("port 1 is held by x")).verdict.reason.startswith("a port is taken")


def test_findings_of_a_run(session: Session, tmp_path: Path) -> None:
    report = tmp_path / "work/report.xml"
    report.parent.mkdir()
    run = run_of(session.paths, cwd=str(tmp_path / "work"))
    report.write_text('<testsuite><testcase name="t"><failure message="PASSWORD=abc"/></testcase></testsuite>')
    writer = Writer(run.samples)
    base = {"used_memory": 1.0, "maxmemory": 9.0}
    writer(Sample(1.0, "redis", {**base, "evicted_keys": 5.0, "refused_writes": 1.0}))
    writer(Sample(2.0, "redis", {**base, "evicted_keys": 8.0, "refused_writes": 3.0}))
    writer.close()
    (run.logs / "app.log").write_text("fine\nFATAL: sorry, too many clients already\n")
    found = look(session, run.path)
    assert found.code == 1
    assert found.redis["redis"]["evicted"] == 3.0
    assert found.redis["redis"]["refused"] == 2.0
    assert [(sign.service, sign.kind) for sign in found.logs] == [("app", "clients")]
    assert found.tests is not None
    assert found.tests.failed[0].message == "PASSWORD=REDACTED"
    assert found.services is not None
    assert [fact.wrong for fact in found.services] == [""]


def test_tokens_of_the_run_are_no_part_of_the_evidence(session: Session) -> None:
    write_private(session.paths.tokens / "someone", "abcdefgh-token-of-someone")
    folder = collect(session, None, seconds=20)
    assert "tokens/someone" in (folder / "environment/files.txt").read_text()
    assert not [path for path in folder.rglob("*") if path.is_file() and b"abcdefgh-token" in path.read_bytes()]


def test_every_collector_has_its_own_time() -> None:
    assert len({one.name for one in every()}) == len(every())
    assert all(0 < one.seconds <= 60 for one in every())


def test_an_environment_of_a_cluster_alone_is_there(tmp_path: Path) -> None:
    session = opened(environment({}), tmp_path, FakeEngine())
    assert look(session, None).services is None
    state.write(session.paths, state.Record("t", "/here"))
    assert look(session, None).services == ()
    assert judge(look(session, None)).reason == "all services that should run are running and answer"
