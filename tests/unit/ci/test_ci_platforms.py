"""Tests of the output for CI services: commands parse back, secrets stay masked, program output is never a command."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from envkit.base.caller import Caller
from envkit.base.ci_platform import platform
from envkit.base.control import Control
from envkit.base.errors import Cancelled, ConfigError, EnvironmentFailed, Fault, UsageError
from envkit.base.events import Event, Kind, Stream
from envkit.base.paths import Paths
from envkit.base.waiting import Cancel
from envkit.ci import github, gitlab, junit, summary
from envkit.ci.annotations import of_error, of_run
from envkit.ci.github import Files, GitHub
from envkit.ci.gitlab import GitLab, dotenv
from envkit.ci.job import Job, Wanted
from envkit.ci.job_report import JobReport, Trouble
from envkit.ci.platform import Annotation, JobResult
from envkit.config.load import Request, load
from envkit.config.yamlfile import line_of
from envkit.evidence.known_secrets import plain_words, worth_hiding
from envkit.evidence.redaction import Redactor
from envkit.evidence.verdict import Verdict
from envkit.inventory.drivers import Drivers
from envkit.inventory.state import Record, write
from envkit.inventory.timings import Recorder, Span
from envkit.operations.run import Row
from tests.support.actions import commands, entries

NAMES = st.from_regex(r"\A[A-Z_][A-Z0-9_]{0,8}\Z")
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXTS = st.text(st.one_of(st.sampled_from("%:,\n\r'\"\\$`=<é 0AD"), CHARACTERS), max_size=20)


# Detection of the service


@pytest.mark.parametrize(
    ("environ", "asked", "found"),
    [
        ({}, False, None),
        ({}, True, "plain"),
        ({"CI": "true"}, False, "plain"),
        ({"CI": "1"}, False, "plain"),
        ({"CI": "false"}, False, None),
        ({"CI": ""}, False, None),
        ({"CI": "true", "GITHUB_ACTIONS": "true"}, False, "github"),
        ({"GITHUB_ACTIONS": "false"}, False, None),
        ({"CI": "true", "GITLAB_CI": "true"}, False, "gitlab"),
        ({"GITHUB_ACTIONS": "true", "ENVKIT_CI": "off"}, True, None),
        ({"GITHUB_ACTIONS": "true", "ENVKIT_CI": "gitlab"}, False, "gitlab"),
    ],
)
def test_the_service_is_told_by_its_variables(environ: Mapping[str, str], asked: bool, found: str | None) -> None:
    assert platform(environ, asked=asked) == found


def test_an_unknown_service_is_refused() -> None:
    with pytest.raises(UsageError, match="github, gitlab, plain or off"):
        platform({"ENVKIT_CI": "jenkins"})


# GitHub


@given(TEXTS, TEXTS, TEXTS)
@settings(max_examples=100, deadline=None, database=None)
@example("a: b, c", "100%\n%0A\r\n", "x::y")
def test_a_command_is_one_line_and_reads_back(title: str, text: str, file: str) -> None:
    line = github.command("error", text, file=file, title=title)
    assert re.fullmatch(r"[^\n\r]*\n", line)
    if len(line.splitlines()) > 1:
        return  # separators that end a line for Python, but not for the runner
    (said,) = commands(line)
    assert said.text == text
    assert said.properties == {key: one for key, one in (("file", file), ("title", title)) if one}


@given(st.dictionaries(NAMES, TEXTS.filter(lambda text: "\r" not in text), max_size=4))
@settings(max_examples=100, deadline=None, database=None)
@example({"A": "", "B": "\n", "C": "EOF\nB=1\nC<<EOF"})
def test_every_value_comes_back_from_the_files(values: Mapping[str, str]) -> None:
    assert entries("".join(github.entry(*pair) for pair in values.items())) == values


def test_no_value_can_end_itself() -> None:
    first, second = (github.entry("A", "x").splitlines()[-1] for _ in range(2))
    assert first != second and len(first) > 32


class Log:
    """A log that records all text, and the content of a file at the time of the last write."""

    def __init__(self, watched: Path) -> None:
        self.text, self._watched, self.held = "", watched, ""

    def __call__(self, text: str) -> None:
        self.text += text
        self.held = self._watched.read_text()


def told(tmp_path: Path) -> tuple[GitHub, Log, dict[str, Path]]:
    files = {name: tmp_path / name for name in ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    for path in files.values():
        path.write_text("BEFORE=1\n")
    log = Log(files["GITHUB_ENV"])
    environ = {**{name: str(path) for name, path in files.items()}, "GITHUB_WORKSPACE": str(tmp_path)}
    return GitHub(environ, log), log, files


def test_what_is_left_goes_behind_what_is_there(tmp_path: Path) -> None:
    speaker, _, files = told(tmp_path)
    variables = {"A_URL": "http://x", "CERT": "a\nb\n", "NODE_OPTIONS": "-x", "GITHUB_TOKEN": "t", "a-b": "c"}
    without = speaker.leave(JobResult(variables, {"result": "passed"}, "# hi\n"))
    assert entries(files["GITHUB_ENV"].read_text()) == {"BEFORE": "1", "A_URL": "http://x", "CERT": "a\nb\n"}
    assert entries(files["GITHUB_OUTPUT"].read_text()) == {"BEFORE": "1", "result": "passed"}
    assert files["GITHUB_STEP_SUMMARY"].read_text().endswith("# hi\n")
    assert [line.split()[0] for line in without] == ["GITHUB_TOKEN", "NODE_OPTIONS", "a-b"]


def test_nothing_is_left_where_there_are_no_files() -> None:
    assert GitHub({}, lambda _: None).leave(JobResult({"A": "b"}, {"c": "d"}, "e")) == []


def test_a_summary_is_no_larger_than_github_takes(tmp_path: Path) -> None:
    speaker, _, files = told(tmp_path)
    speaker.leave(JobResult(summary="é" * github.LARGEST_SUMMARY))
    written = files["GITHUB_STEP_SUMMARY"].read_bytes()
    assert len(written) <= github.LARGEST_SUMMARY + len("BEFORE=1\n")
    assert written.endswith(b"(cut here)\n")


def test_masks_know_every_spelling(tmp_path: Path) -> None:
    speaker, log, _ = told(tmp_path)
    speaker.mask(["a/b\n100%", "plain"])
    said = [one.text for one in commands(log.text)]
    assert said == ["a/b\n100%", "a%2Fb%0A100%25", r"a/b\n100%", "plain"]


def test_nothing_that_others_wrote_is_a_command(tmp_path: Path) -> None:
    speaker, log, _ = told(tmp_path)
    with speaker.foreign():
        log("  ::add-path::/evil\n::stop-commands::x\n::endgroup::\n")
    speaker.annotate(Annotation("error", "a", "b"))
    assert [one.name for one in commands(log.text)] == ["stop-commands", "error"]


def test_an_annotation_stands_beside_the_file(tmp_path: Path) -> None:
    speaker, log, _ = told(tmp_path)
    speaker.annotate(Annotation("warning", "t: x", "one\ntwo", str(tmp_path / "sub/envkit.yaml"), 7))
    speaker.annotate(Annotation("error", "t", "x", "/elsewhere/envkit.yaml"))
    first, second = commands(log.text)
    assert (first.name, first.text) == ("warning", "one\ntwo")
    assert first.properties == {"file": "sub/envkit.yaml", "line": "7", "title": "t: x"}
    assert second.properties["file"] == "/elsewhere/envkit.yaml"


def test_a_group_ends_whichever_way_it_goes(tmp_path: Path) -> None:
    speaker, log, _ = told(tmp_path)
    with pytest.raises(ValueError, match="no"), speaker.group("envkit up x"):
        raise ValueError("no")
    with speaker.group("the command", folded=False):
        log("out\n")
    assert log.text == "::group::envkit up x\n::endgroup::\n\nthe command\nout\n"


def test_a_program_that_reads_json_meets_masks_only(tmp_path: Path) -> None:
    _, log, _ = told(tmp_path)
    quiet = Files({}, log)
    with quiet.group("x"), quiet.foreign():
        quiet.annotate(Annotation("error", "t", "x"))
    quiet.mask(["hunter2"])
    assert log.text == "::add-mask::hunter2\n"


# Masking of secrets


def test_plain_words_are_not_masked_and_lines_are() -> None:
    plain = plain_words(["gateway", "slm_user"])
    assert list(worth_hiding("Gateway", plain)) == []
    assert list(worth_hiding("password", plain)) == []
    assert list(worth_hiding("abc", plain)) == []
    key = "-----BEGIN X-----\nMIIEvQIBADANBgkqhkiG\nshort\n-----END X-----"
    assert list(worth_hiding(key, plain)) == [key, "MIIEvQIBADANBgkqhkiG"]


def test_secrets_are_masked_before_their_variables_go_anywhere(tmp_path: Path) -> None:
    speaker, log, files = told(tmp_path)
    (tmp_path / "envkit.yaml").write_text(
        "cluster: none\nsecrets: {api-key: {value: s3cr3t}}\n"
        "services: {postgres: {preset: postgres, ports: {postgres: 15999}}}\n"
    )
    environment = load(Request.of({"HOME": str(tmp_path)}, tmp_path, file="envkit.yaml", name="x"))
    paths = Paths(tmp_path / "state", "x")
    control = Control(Cancel(), Stream())
    drivers = Drivers(environment, paths, "embedded", None, Caller({}, tmp_path / "cache"), control.cancel)
    notes: list[str] = []
    job = Job(speaker, "up", "x", Wanted(), show=print, note=notes.append, gather=print)
    with job.working():
        job.opened(environment, paths, drivers, control)
        assert [one.text for one in commands(log.text)] == ["s3cr3t", "test_password"], "what is configured, at once"
        variables = {"A_TOKEN": "made later", "B_URL": "redis://:in%20url@h", "C_PASSWORD": "secret", "D": "d"}
        record = Record("x", str(tmp_path), variables=variables)
        write(paths, record)
        job.ready(environment, record)
        assert log.held == "BEFORE=1\n", "no variable was there when the last mask was said"
    masks = {one.text for one in commands(log.text)}
    assert {"made later", "made%20later", "in%20url"} <= masks and "secret" not in masks
    assert entries(files["GITHUB_ENV"].read_text()) == {"BEFORE": "1", **variables}
    assert notes == ["the secret in C_PASSWORD is a common word, which the log cannot mask"]


# GitLab


def test_sections_nest_and_have_names_of_their_own() -> None:
    said: list[str] = []
    speaker = GitLab(said.append)
    with speaker.group("outer\nline"), speaker.group("inner", folded=False):
        pass
    begins = re.findall(
        r"^\x1b\[0Ksection_start:(\d+):([\w.-]+)(\[collapsed=true\])?\r\x1b\[0K(.+)\n", "".join(said), re.M
    )
    ends = re.findall(r"\x1b\[0Ksection_end:(\d+):([\w.-]+)\r\x1b\[0K\n", "".join(said))
    assert [(folded, title) for _, _, folded, title in begins] == [("[collapsed=true]", "outer line"), ("", "inner")]
    assert [name for _, name in ends] == [name for _, name, _, _ in reversed(begins)]
    assert len({name for _, name in ends}) == 2


def test_the_dotenv_report_has_what_gitlab_reads_and_no_secret() -> None:
    given = {
        "A_URL": "http://127.0.0.1:1/a?b=c", "TOKEN_FILE": "/state/tokens/x", "API_TOKEN": "hunter2",
        "DATABASE_URL": "postgres://u:hunter2@h/d", "CERT": "a\nb", "EMPTY": "", "SPACED": " a", "INNER": "a b",
        "QUOTED": "it's", "REFERENCE": "$HOME", "a-b": "c",
    }  # fmt: skip
    text, without = dotenv(given)
    assert text == "A_URL=http://127.0.0.1:1/a?b=c\nINNER=a b\nTOKEN_FILE=/state/tokens/x\n"
    assert {line.split()[0] for line in without} == set(given) - {"A_URL", "INNER", "TOKEN_FILE"}
    assert "hunter2" not in "".join(without)


def test_a_report_that_gitlab_would_refuse_is_cut_and_told() -> None:
    text, without = dotenv({f"A{number:03}": "x" * 100 for number in range(100)})
    assert len(text.encode()) <= gitlab.LARGEST
    assert len(without) + len(text.splitlines()) == 100
    assert "larger than 5 KiB" in without[0]


# Steps, summary, JUnit


def test_steps_keep_their_last_word() -> None:
    steps = Recorder()
    for kind, name, at, seconds in (
        (Kind.PLANNED, "late", 0.0, None), (Kind.PLANNED, "b", 0.0, None), (Kind.NOTE, "", 0.1, None),
        (Kind.KEPT, "a", 0.1, 0.0), (Kind.STARTED, "b", 0.2, None), (Kind.PROGRESS, "b", 0.3, None),
        (Kind.FAILED, "b", 1.2, 1.0), (Kind.STARTED, "c", 0.4, None),
    ):  # fmt: skip
        steps(Event(kind, name, "said", at, seconds))
    assert [(one.step, one.state, one.began, one.seconds) for one in steps.spans] == [
        ("late", "waiting", None, 0.0), ("b", "failed", 0.2, 1.0), ("a", "kept", 0.1, 0.0), ("c", "running", 0.4, 0.0),
    ]  # fmt: skip


STEPS = (
    Span("redis", state="done", message="ready", began=0.1, seconds=1.25),
    Span("odd|name", state="failed", message="no\nanswer\x1b[0m", began=0.2, seconds=3.0),
)
TROUBLE = Trouble("NotReady", "odd|name: no <answer>", "look *here*", "line 1\n```\nhunter2")
FAILED = JobReport("up", "x", "embedded", 0.0, 4.5, STEPS, (), TROUBLE, Verdict("environment", "it died"), "/e v/`x`")
COMMAND_FAILED = JobReport(
    "run", "x", "embedded", 0.0, 9.0, STEPS[:1], (Row(1, "failed", 7, 1.5, "a test"),), None,
    Verdict("test", "a test", "likely", ("one", "two"), "look"),
)  # fmt: skip


def test_the_summary_tells_cause_and_times() -> None:
    said = summary.page(FAILED)
    assert said.startswith("### ✗ envkit up x: the environment failed after 4.5 s\n")
    assert "**Likely cause** (certain): it died\n" in said
    assert "**Error**: odd\\|name: no &lt;answer&gt;\n" in said
    assert "Next: look \\*here\\*\n" in said
    assert "| redis | done | 0.1 s | 1.2 s | ready |\n" in said
    assert "| **odd\\|name** | failed | 0.2 s | 3.0 s | no |\n" in said, "the slowest stands out"
    assert "\n````text\nline 1\n```\nhunter2\n````\n" in said, "a fence that what it said cannot end"
    assert "Evidence: `` /e v/`x` ``\n" in said


def test_the_summary_of_a_command() -> None:
    said = summary.page(COMMAND_FAILED)
    assert "the command ended with 7 (not the environment's fault) after 9.0 s" in said
    assert "\n- one\n- two\n" in said


@pytest.mark.parametrize(
    ("account", "result", "said"),
    [
        (JobReport("up", "x", seconds=1.0), "passed", "up x: up after 1.0 s"),
        (JobReport("run", "x", rows=(Row(1, "passed", 0, 1.0),)), "passed", "run x: the command succeeded after 0.0 s"),
        (JobReport("run", "x", rows=(Row(1, "cancelled", 143, 1.0),)), "cancelled", "run x: cancelled after 0.0 s"),
        (JobReport("up", "x", trouble=Trouble("Cancelled", "cancelled")), "cancelled", "up x: cancelled after 0.0 s"),
        (FAILED, "environment", "up x: the environment failed after 4.5 s"),
        (COMMAND_FAILED, "failed", "run x: the command ended with 7 (not the environment's fault) after 9.0 s"),
    ],
)
def test_how_it_ended(account: JobReport, result: str, said: str) -> None:
    assert (account.result, account.headline) == (result, said)


def test_an_account_can_be_had_without_secrets() -> None:
    clean = FAILED.redacted(Redactor(["hunter2"]))
    assert "hunter2" not in summary.page(clean) + junit.document(clean)
    assert "REDACTED" in junit.document(clean)


def test_junit_of_a_failed_up() -> None:
    suite = ElementTree.fromstring(junit.document(FAILED)).find("testsuite")
    assert suite is not None
    assert {key: suite.get(key) for key in ("tests", "errors", "failures", "skipped")} == {
        "tests": "2", "errors": "1", "failures": "0", "skipped": "0",
    }  # fmt: skip
    passed, failed = suite.findall("testcase")
    assert (passed.get("name"), passed.get("time"), passed.find("error")) == ("redis", "1.250", None)
    error = failed.find("error")
    assert error is not None and error.get("message") == "no" and "next: look *here*" in (error.text or "")


def test_junit_of_a_command_and_of_what_is_no_steps() -> None:
    cases = ElementTree.fromstring(junit.document(COMMAND_FAILED)).findall(".//testcase")
    assert [case.get("classname") for case in cases] == ["envkit.up", "envkit.run"]
    assert cases[1].find("failure") is not None
    alone = JobReport("up", "", trouble=Trouble("PortTaken", "port 1 is taken"))
    (case,) = ElementTree.fromstring(junit.document(alone)).findall(".//testcase")
    assert case.find("error") is not None
    cancelled = JobReport("up", "", trouble=Trouble("Cancelled", "cancelled"))
    (case,) = ElementTree.fromstring(junit.document(cancelled)).findall(".//testcase")
    assert case.find("skipped") is not None


@given(st.text(max_size=30))
@settings(max_examples=100, deadline=None, database=None)
@example("\x00\x1b[0m\ud800\ufffe")
def test_junit_is_xml_whatever_was_said(text: str) -> None:
    account = JobReport(
        "up", text, steps=(Span(text, state="failed", message=text),), trouble=Trouble("X", text, text, text)
    )
    ElementTree.fromstring(junit.document(account).encode(errors="surrogatepass"))


# Annotations


def test_each_fault_of_a_configuration_is_at_its_line(tmp_path: Path) -> None:
    file = tmp_path / "envkit.yaml"
    file.write_text("services:\n  redis:\n    ports:\n      redis: 80\n    files:\n      - source: a\n")
    faults = [
        Fault(str(file), "services.redis.ports.redis", "found 80"), Fault(str(file), "services.redis.files[0].x", "?"),
        Fault("--set a=b", "a", "unknown"),
    ]  # fmt: skip
    marks = list(of_error("up", ConfigError(faults), None, str))
    assert [(mark.line, bool(mark.file)) for mark in marks] == [(4, True), (6, True), (0, False)]
    assert "found 80" in marks[0].text and "--set a=b" in marks[2].text
    assert line_of(tmp_path / "none.yaml", "a") == 0


def test_an_annotation_tells_the_cause_and_the_next_step() -> None:
    error = EnvironmentFailed("redis: no answer, password hunter2", hint="look")
    (mark,) = of_error("up", error, Verdict("environment", "redis died"), Redactor(["hunter2"]))
    assert mark.text == "redis: no answer, password REDACTED\nlikely cause (certain): redis died\nnext: look"
    assert list(of_error("up", Cancelled(15), None, str)) == []


def test_an_annotation_of_a_verdict() -> None:
    (mark,) = of_run(COMMAND_FAILED)
    assert mark == Annotation(
        "error", "envkit run: not the environment's fault",
        "the command ended with 7: a test\n- one\n- two\nnext: look",
    )  # fmt: skip
    (mark,) = of_run(JobReport("run", "x", rows=(Row(1, "passed", 0, 1.0, "redis was started again"),)))
    assert mark.level == "warning" and "redis was started again" in mark.text
    assert list(of_run(JobReport("run", "x", rows=(Row(1, "passed", 0, 1.0),)))) == []
