"""Simulates the parts of a GitHub Actions runner that a step uses: files, shell, log and cancellation."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

FILES = ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")
COMMAND = re.compile(r"^\s*::([a-z-]+|[0-9a-f]{32})( [^:]*)?::(.*)$")
PROPERTY = re.compile(r"([a-zA-Z]+)=([^,]*)")
BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail")
"""The command line of a step with `shell: bash`."""


@dataclass(frozen=True)
class Said:
    """One workflow command: its name, properties and text."""

    name: str
    text: str
    properties: Mapping[str, str] = field(default_factory=dict)


def plain(text: str) -> str:
    """Return the unescaped text of a command."""
    for code, char in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, char)
    return text


def commands(log: str) -> list[Said]:
    """Return the commands that the runner would execute, in order; it ignores those between the stop tokens."""
    found: list[Said] = []
    stopped = ""
    for line in log.splitlines():
        match = COMMAND.match(line)
        if not match:
            continue
        name, properties, text = match[1], match[2] or "", plain(match[3])
        if stopped:
            stopped = "" if name == stopped else stopped
            continue
        if name == "stop-commands":
            stopped = text
        found.append(Said(name, text, {key: plain(value) for key, value in PROPERTY.findall(properties)}))
    return found


def entries(text: str) -> dict[str, str]:
    """Return the entries of one of the runner's files: `NAME=value`, or `NAME<<END`, lines, `END`."""
    found: dict[str, str] = {}
    lines = iter(text.split("\n"))
    for line in lines:
        if not line:
            continue
        name, sign, rest = re.fullmatch(r"([^=<]+)(=|<<)(.*)", line).groups()
        if sign == "=":
            found[name] = rest
            continue
        value = []
        for one in lines:
            if one == rest:
                break
            value.append(one)
        else:
            raise AssertionError(f"{name} has no end")
        found[name] = "\n".join(value)
    return found


@dataclass
class Step:
    """The results of one step."""

    code: int
    log: str
    outputs: Mapping[str, str]
    summary: str
    variables: Mapping[str, str]
    masks: tuple[str, ...]


@dataclass
class Runner:
    """One job: it passes variables and PATH from step to step, and keeps masks."""

    folder: Path
    workspace: Path
    environ: dict[str, str]
    masks: list[str] = field(default_factory=list)
    _count: int = 0

    def step(self, script: str, cancel_after: str = "", folder: str = ".", **environ: str) -> Step:
        """Run a step as the runner does and return its results; cancel it when `cancel_after` appears in its log."""
        self._count += 1
        home = self.folder / f"step-{self._count}"
        home.mkdir(parents=True)
        files = {name: home / name.lower() for name in FILES}
        for path in files.values():
            path.touch()
        (home / "step.sh").write_text(script)
        given = {
            **self.environ, **environ, **{name: str(path) for name, path in files.items()},
            "GITHUB_ACTIONS": "true", "CI": "true", "GITHUB_WORKSPACE": str(self.workspace),
            "RUNNER_TEMP": str(self.folder),
        }  # fmt: skip
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(
                [*BASH, str(home / "step.sh")], cwd=self.workspace / folder, env=given, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            code = _cancelled(process, home / "log", cancel_after) if cancel_after else process.wait(240)
        log_text = (home / "log").read_text(errors="replace")
        said = {name: path.read_text() for name, path in files.items()}
        masks = tuple(one.text for one in commands(log_text) if one.name == "add-mask")
        self.masks += masks
        variables = entries(said["GITHUB_ENV"])
        self.environ |= variables
        for line in said["GITHUB_PATH"].splitlines():
            self.environ["PATH"] = f"{line}{os.pathsep}{self.environ['PATH']}"
        outputs, summary = entries(said["GITHUB_OUTPUT"]), said["GITHUB_STEP_SUMMARY"]
        return Step(code, log_text, outputs, summary, variables, masks)

    def shown(self, text: str) -> str:
        """Return the text as GitHub shows it, with masked values as stars."""
        for mask in sorted(self.masks, key=len, reverse=True):
            text = text.replace(mask, "***")
        return text


def expanded(text: object, context: Mapping[str, str]) -> str:
    """Return the text with each `${{ a.b }}` replaced by its value; an unknown one is empty, as on GitHub."""
    return re.sub(r"\$\{\{\s*([\w.-]+)\s*\}\}", lambda found: context.get(found[1], ""), str(text))


def composite(
    runner: Runner, action: Path, given: Mapping[str, str], cancel_after: str = ""
) -> tuple[Step, dict[str, str]]:
    """Run a composite action; return the results of its last step and its outputs. Only the last step is cancelled."""
    told: dict[str, Any] = yaml.safe_load(action.read_text())
    unknown = set(given) - set(told["inputs"])
    assert not unknown, unknown
    inputs = {name: str(given.get(name, one.get("default", ""))) for name, one in told["inputs"].items()}
    assert all(inputs[name] for name, one in told["inputs"].items() if one.get("required"))
    context = {f"inputs.{name}": value for name, value in inputs.items()} | {"github.action_path": str(action.parent)}
    steps = told["runs"]["steps"]
    for step in steps:
        environ = {name: expanded(value, context) for name, value in step["env"].items()}
        folder = expanded(step.get("working-directory", "."), context)
        last = runner.step(step["run"], cancel_after if step is steps[-1] else "", folder=folder, **environ)
        context |= {f"steps.{step.get('id')}.outputs.{name}": value for name, value in last.outputs.items()}
        if last.code:
            break
    return last, {name: expanded(one["value"], context) for name, one in told["outputs"].items()}


def _cancelled(process: subprocess.Popen[bytes], log: Path, word: str) -> int:
    """Cancel the step and return its exit code.

    Its first process gets SIGINT and 7.5 s later SIGTERM. 2.5 s after that, everything is killed, as on GitHub.
    docs/ci.md promises that envkit has removed everything by then, so a kill fails the test.
    """
    deadline = time.monotonic() + 120
    while word not in log.read_text(errors="replace"):
        assert process.poll() is None and time.monotonic() < deadline, log.read_text(errors="replace")
        time.sleep(0.05)
    began = time.monotonic()
    for signum, seconds in ((signal.SIGINT, 7.5), (signal.SIGTERM, 2.5)):
        process.send_signal(signum)
        try:
            code = process.wait(seconds)
            print(f"cancelled within {time.monotonic() - began:.1f} s")
            return code
        except subprocess.TimeoutExpired:
            continue
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    raise AssertionError(f"it had to be killed:\n{log.read_text(errors='replace')}")
