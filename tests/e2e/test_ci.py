"""Tests that run steps of CI jobs as the services do: this repository's action, and the workflows of docs/ci.md."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from tests.e2e.embedded_box import EmbeddedBox, box
from tests.support import ports
from tests.support.actions import BASH, Runner, commands, composite, entries
from tests.support.box import ROOT
from tests.support.engines import Engine
from tests.support.installing import INSTALL_SECONDS, Packages, call, environment

pytestmark = pytest.mark.e2e

ACTION = ROOT / "action.yml"
FENCE = re.compile(r"^```(yaml|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OTHERS = ("actions/checkout@", "actions/setup-python@", "actions/cache@", "actions/upload-artifact@")
"""Actions of other publishers that the documents name; the tests do not run them."""

CONFIGURATION = """
cluster: none
services:
  redis: {{preset: redis, ports: {{redis: {0}}}, options: {{password: "it's a secret"}}}}
"""
TEST = """
import os, socket
def test_it_is_there():
    socket.create_connection((os.environ["REDIS_HOST"], int(os.environ["REDIS_PORT"])), 5).close()
    assert os.environ["REDIS_PASSWORD"] == "it's a secret"
"""
FAILS = "echo the password is $REDIS_PASSWORD; exit 7"


class Repository:
    """A user's repository on a runner: a configuration, a suite, a Python with pytest, and pip, pipx and uv."""

    def __init__(self, folder: Path, packages: Packages, python: Path, environ: dict[str, str]) -> None:
        (port,) = ports.free()
        self.workspace = folder / "workspace"
        self.box: EmbeddedBox = box(f"e2e-ci-{uuid.uuid4().hex[:6]}", folder, ports=(port,))
        self.box.cwd = self.workspace
        suite = self.workspace / "tests/integration"
        suite.mkdir(parents=True)
        (suite / "test_it.py").write_text(TEST)
        (self.workspace / "envkit.yaml").write_text(CONFIGURATION.format(port))
        self.packages = packages
        plain = {**self.box.environ(), **packages.environ(folder), "ENVKIT_NAME": self.box.name, **environ}
        plain |= {name: self.box.environ()[name] for name in ("HOME", "ENVKIT_STATE_DIR")}
        plain["PATH"] = f"{python}:{plain['PATH']}"
        self.environ = {key: value for key, value in plain.items() if value and key != "CI"}
        self.runner = Runner(folder / "runner", self.workspace, dict(self.environ))

    def evidence(self, folder: str) -> list[Path]:
        """Return the index pages of the collected evidence."""
        return sorted((self.workspace / folder).glob("*/index.md"))


@pytest.fixture
def repository(tmp_path: Path, packages: Packages, job_python: Path) -> Iterator[Repository]:
    made = Repository(
        tmp_path, packages, job_python, {"ENVKIT_LANE": "embedded", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    )
    yield made
    left = made.box.close()
    assert not left, left


@pytest.fixture
def installed(repository: Repository, by_action: Path) -> Repository:
    """Return the repository with envkit on PATH, as the action installs it."""
    for environ in (repository.environ, repository.runner.environ):
        environ["PATH"] = f"{by_action}/path:{environ['PATH']}"
    return repository


def documented() -> dict[str, Any]:
    """Return the workflows of docs/ci.md by the file names in their first lines."""
    found = {}
    for language, text in FENCE.findall((ROOT / "docs/ci.md").read_text()):
        name = re.match(r"# (\S+)\n", text)
        if language == "yaml" and name:
            found[name[1]] = yaml.safe_load(text)
    return found


# The action


def test_nothing_of_an_input_is_ever_part_of_a_script() -> None:
    action = yaml.safe_load(ACTION.read_text())
    for step in action["runs"]["steps"]:
        assert "${{" not in step["run"] and step["shell"] == "bash"
    for name in action["inputs"]:
        assert "inputs." + name in ACTION.read_text(), name


def test_a_suite_in_the_action(installed: Repository) -> None:
    given = {"version": "installed", "command": "pytest tests/integration", "junit": "out/envkit.xml"}
    step, outputs = composite(installed.runner, ACTION, given)
    assert step.code == 0, step.log
    assert outputs == {"result": "passed", "reason": "", "evidence": ""}
    groups = [one.text for one in commands(step.log) if one.name in ("group", "endgroup")]
    assert groups == [f"envkit up {installed.box.name}", "", f"envkit down {installed.box.name}", ""]
    assert "### ✓ envkit run" in step.summary and re.search(r"\| \*\*redis\*\* \| done \| \d+\.\d s \|", step.summary)
    names = [case.get("name") for case in ElementTree.parse(installed.workspace / "out/envkit.xml").iter("testcase")]
    assert names == ["redis", "command"]
    assert step.variables == {}, "an environment that goes leaves no variables"
    assert "it's a secret" not in installed.runner.shown(step.log.replace("::add-mask::", "\n::add-mask::"))
    assert installed.box.left() == []


def test_a_command_that_fails_in_the_action(installed: Repository) -> None:
    given = {
        "version": "installed",
        "command": FAILS,
        "args": "--repeat=2\n--set=services.redis.options.maxmemory=64MiB\n",
    }
    step, outputs = composite(installed.runner, ACTION, given)
    assert step.code == 7, step.log
    assert outputs["result"] == "failed" and outputs["reason"]
    (mark,) = [one for one in commands(step.log) if one.name == "error"]
    assert mark.properties["title"] == "envkit run: not the environment's fault"
    assert "the command ended with 7" in mark.text and "next: " in mark.text
    assert "**Likely cause**" in step.summary and "ended with 7" in step.summary
    assert "the password is it's a secret" in step.log, "the command said it"
    assert "the password is ***" in installed.runner.shown(step.log), "and nobody sees it"
    (page,) = installed.evidence("envkit-evidence")
    assert outputs["evidence"] == str(page.parent) and "it's a secret" not in page.read_text() + step.summary
    assert installed.box.left() == []


def test_an_input_is_data(installed: Repository) -> None:
    evil = "x$(touch hit)\"; touch hit; \"\n--keep\n`touch hit`\n${{ x }}';touch hit;'"
    given = {"version": "installed", "command": "true", "name": evil, "profile": evil, "args": "--lane=embedded"}
    step, outputs = composite(installed.runner, ACTION, given)
    assert step.code == 2 and outputs["result"] == "environment", step.log
    assert not list(installed.workspace.glob("hit"))
    assert [one.name for one in commands(step.log) if one.name == "error"], "and it is said what is wrong with it"


def test_a_cancelled_job_leaves_evidence_and_nothing_else(installed: Repository) -> None:
    given = {"version": "installed", "command": "echo it runs; sleep 300"}
    step, outputs = composite(installed.runner, ACTION, given, cancel_after="it runs\n")
    assert step.code in (130, 143), step.log
    assert outputs["result"] == "cancelled", step.log
    assert "### ✗ envkit run" in step.summary and "cancelled after" in step.summary
    assert len(installed.evidence("envkit-evidence")) == 1, step.log
    assert installed.box.left() == []


# `up`


def test_an_up_that_fails_says_why_where_it_is_seen(installed: Repository) -> None:
    more = "  bad: {once: true, host_command: [sh, -c, 'echo ::add-path::/evil; exit 3'], needs: redis}\n"
    configuration = installed.workspace / "envkit.yaml"
    configuration.write_text(configuration.read_text() + more)
    step = installed.runner.step("exec envkit up --artifacts=out --junit=envkit.xml")
    assert step.code == 3, step.log
    assert "  ::add-path::/evil" in step.log, "what it said is shown"
    assert "add-path" not in {one.name for one in commands(step.log)}, "and is no command"
    (mark,) = [one for one in commands(step.log) if one.name == "error"]
    assert mark.properties["title"] == "envkit up" and mark.text.startswith("bad: ")
    assert "### ✗ envkit up" in step.summary and "| bad | failed |" in step.summary.replace("**", "")
    assert step.variables == {} and step.outputs["result"] == "environment"
    assert len(installed.evidence("out")) == 1
    cases = ElementTree.parse(installed.workspace / "envkit.xml").iter("testcase")
    assert {case.get("name"): case.find("error") is not None for case in cases} == {
        "redis": False, "bad": True,
    }  # fmt: skip
    assert installed.box.left() == []


def test_an_up_that_is_cancelled_leaves_evidence_and_nothing_else(installed: Repository) -> None:
    configuration = installed.workspace / "envkit.yaml"
    configuration.write_text(configuration.read_text() + "  slow: {once: true, host_command: [sleep, '300']}\n")
    step = installed.runner.step("exec envkit up --artifacts=out", cancel_after="done in")
    assert step.code == 130, step.log
    assert "cancelled after" in step.summary and not [one for one in commands(step.log) if one.name == "error"]
    assert len(installed.evidence("out")) == 1
    assert installed.box.left() == []


def test_faults_of_the_configuration_are_at_their_lines(installed: Repository) -> None:
    (installed.workspace / "envkit.yaml").write_text("cluster: none\nservices:\n  redis:\n    presett: redis\n")
    step = installed.runner.step("envkit up")
    marks = [one for one in commands(step.log) if one.name == "error"]
    assert step.code == 2 and ("envkit.yaml", "4") in {
        (one.properties.get("file"), one.properties.get("line")) for one in marks
    }, step.log  # fmt: skip


def test_json_stays_json(installed: Repository) -> None:
    step = installed.runner.step("envkit up --json 2>lines.txt && envkit down --json 2>>lines.txt")
    assert step.code == 0, step.log
    lines = (installed.workspace / "lines.txt").read_text().splitlines()
    others = [line for line in lines if not line.startswith("::add-mask::")]
    assert others and all(json.loads(line)["event"] for line in others)


# docs/ci.md


def follow(repository: Repository, workflow: dict[str, Any]) -> list[str]:
    """Run each step of the workflow's only job and return their outputs."""
    (job,) = workflow["jobs"].values()
    said = []
    for step in job["steps"]:
        if "run" in step:
            done = repository.runner.step(repository.packages.documented(step["run"]))
            assert done.code == 0, f"{step['run']}\n{done.log}"
            assert not {"it's a secret"} & {repository.runner.shown(line) for line in done.log.splitlines()}
            said.append(done.log)
        elif step["uses"].startswith("YOUR-ORG/envkit@"):
            done, outputs = composite(repository.runner, repository.packages.clone / "action.yml", step["with"])
            assert done.code == 0 and outputs["result"] == "passed", done.log
            said.append(done.log)
        else:
            assert step["uses"].startswith(OTHERS), step
    return said


def test_the_workflow_with_the_action(repository: Repository) -> None:
    (said,) = follow(repository, documented()[".github/workflows/integration.yml"])
    assert "1 passed" in said
    assert repository.box.left() == []


def test_the_workflow_with_steps_of_ones_own(repository: Repository) -> None:
    said = follow(repository, documented()[".github/workflows/steps.yml"])
    assert sum("1 passed" in one for one in said) == 2
    assert repository.runner.environ["REDIS_PASSWORD"] == "it's a secret"
    assert repository.box.left() == []


@pytest.mark.docker
def test_the_same_steps_on_containers(tmp_path: Path, packages: Packages, job_python: Path) -> None:
    engine = Engine("docker")
    found = {"ENVKIT_LANE": "containers", "ENVKIT_ENGINE": "docker", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    try:
        repository = Repository(tmp_path, packages, job_python, {**found, "ENVKIT_OVERLAY": engine.overlay})
        follow(repository, documented()[".github/workflows/steps.yml"])
        assert engine.rows(repository.box.name) == [] and engine.networks_of(repository.box.name) == []
        assert repository.box.left() == []
    finally:
        engine.close()


def gitlab(repository: Repository, job: dict[str, Any], *parts: str, **environ: str) -> str:
    """Run parts of a job as one script and return its output.

    GitLab's runner also joins `before_script` and `script` into one script.
    """
    home = str(repository.workspace)
    told = {name: value.replace("$CI_PROJECT_DIR", home) for name, value in job["variables"].items()}
    lines = (line for part in parts for line in job.get(part, []))
    script = "\n".join(repository.packages.documented(line) for line in lines)
    return bash(repository, script, {"GITLAB_CI": "true", "CI": "true", "CI_PROJECT_DIR": home, **told, **environ})


def bash(repository: Repository, script: str, environ: dict[str, str]) -> str:
    """Run a script that must succeed and return its output."""
    done = subprocess.run(
        [*BASH, "-c", script], cwd=repository.workspace, env={**repository.environ, **environ},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=INSTALL_SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout.decode()
    return done.stdout.decode()


def sections(log: str) -> list[tuple[str, str]]:
    """Return the starts and the ends of all sections, each with the section's name."""
    return re.findall(r"\x1b\[0Ksection_(start|end):\d+:([\w.-]+)", log)


def test_the_job_on_gitlab(repository: Repository, tmp_path: Path) -> None:
    there = environment(tmp_path / "image")  # the container has its own Python, and the job installs into it
    call((there / "pip", "install", "--quiet", "pytest"), tmp_path, repository.environ)
    repository.environ["PATH"] = f"{there}:{repository.environ['PATH']}"
    job = documented()[".gitlab-ci.yml"]["integration"]
    own = ""  # this machine's cache: root's services cannot reach a cache below root's home
    said = gitlab(repository, job, "before_script", "script", ENVKIT_CACHE_DIR=own)
    assert "1 passed" in said and [kind for kind, _ in sections(said)] == ["start", "end"]
    report = entries((repository.workspace / job["artifacts"]["reports"]["dotenv"]).read_text())
    assert set(report) >= {"REDIS_ADDR", "REDIS_HOST"} and "secret" not in str(report)
    assert "REDIS_URL is not in the dotenv report" in said
    cases = ElementTree.parse(repository.workspace / job["artifacts"]["reports"]["junit"]).iter("testcase")
    assert [case.get("name") for case in cases][-1] == "redis"
    assert len(sections(gitlab(repository, job, "after_script", ENVKIT_CACHE_DIR=own))) == 2
    assert repository.box.left() == []


def test_the_template_for_gitlab(repository: Repository) -> None:
    job = yaml.safe_load((ROOT / "ci/gitlab.yml").read_text())[".envkit"]
    given = {
        "ENVKIT_COMMAND": "pytest tests/integration", "ENVKIT_STATE_DIR": repository.environ["ENVKIT_STATE_DIR"],
        "ENVKIT_CACHE_DIR": "",  # this machine's cache
    }  # fmt: skip
    with pytest.raises(AssertionError, match=r"ENVKIT_PACKAGE: must be the package for pip, for example git\+URL@TAG"):
        gitlab(repository, job, "before_script", "script", **given)
    given["ENVKIT_PACKAGE"] = str(repository.packages.wheel)
    said = gitlab(repository, job, "before_script", "script", **given)
    assert "1 passed" in said
    titles = re.findall(r"section_start:\d+:[\w.-]+(?:\[collapsed=true\])?\r\x1b\[0K(.*)", said)
    name = repository.box.name
    assert titles == [f"envkit up {name}", "the command", f"envkit down {name}"]
    gitlab(repository, job, "after_script", **given)
    assert repository.box.left() == []


def test_the_lines_for_a_plain_runner(installed: Repository) -> None:
    (text,) = [text for language, text in FENCE.findall((ROOT / "docs/ci.md").read_text()) if language == "sh"]
    first, second = text.strip().splitlines()
    assert shlex.split(second) == ["envkit", "prune", "--yes"]
    assert "1 passed" in bash(installed, first, {})
    assert installed.box.left() == []
    shown = second.replace("--yes", "--json")  # only shown: whether to prune this machine is its owner's decision
    assert installed.box.name not in bash(installed, shown, {})
