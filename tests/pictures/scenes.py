"""The scenes of the pictures: the command, the shown part of its output, and the rule for equal outputs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

COLUMNS = 100
PROGRAM = "./dev"
SHOWN_VARIABLES = 4
ELSEWHERE = re.compile(r"(?:/root|/home|/Users|/tmp|/work)\b\S*")
"""Paths of one machine; no picture may show one."""

ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Scene:
    """One picture.

    `alike` reduces a line to the part that must be the same on every machine, or to an empty string.
    """

    name: str
    words: tuple[str, ...]
    code: int
    alike: Callable[[str], str]
    columns: int = COLUMNS

    @property
    def command(self) -> str:
        """Return the command line as a user types it."""
        return " ".join((PROGRAM, *self.words))


def usual(line: str) -> str:
    """Return the line without values that may differ: numbers, times, paths, options of the environment, and spaces."""
    line = re.sub(r"\s--(name|lane|engine|port-offset|file) [^\s)\"]+", "", line)
    line = re.sub(r"(?<![\w:/.])[~/][\w.~/+-]{3,}", "PATH", line)
    line = re.sub(r"\d+(\.\d+)*", "#", line)
    line = re.sub(r"[·▒█]+", "BAR", line)
    line = re.sub(r"(?<!\S)#[smhd](?!\S)", "", line)
    return " ".join(line.split())


def of_status(line: str) -> str:
    """Return a line of `status` without values of this machine: the resource usage and the source of programs."""
    line = re.sub(r"\b[\d.]+\S* from .*", "PROGRAM", line)
    return usual(re.sub(r"\d+ MiB( of \d+)?", "", line))


def of_timeline(line: str) -> str:
    """Return a line of `timeline` without the critical steps, which differ from run to run."""
    if line.startswith("* critical path: "):
        return "* critical path"
    return usual(re.sub(r"\bafter \w+$", "", line.removeprefix("*")))


def of_doctor(line: str) -> str:
    """Return the name of the check in a line of `doctor`; the findings depend on the host."""
    found = re.match(r"(?:ok|WARNING|LACKING) {2,}(\S.*?) {2,}\S", line)
    if found:
        engines = ("docker", "podman", "node image", "disk", "leftover", "unprivileged")
        return "" if found[1].startswith(engines) else f"check {found[1]}"
    return "lanes" if line.startswith("lane ") else ""


def of_run(line: str) -> str:
    """Return a line of `run` without further observations and services' messages, which differ from run to run."""
    if re.match(r"(! .* (?!redis exited)|  )", line) and "redis exited" not in line:
        return ""
    return usual(re.sub(r"(postgres {2}|redis {5}).*", r"\1", re.sub(r"\(exit \d+\) at .*", "", line)))


SCENES = (
    Scene("up", ("up",), 0, usual),
    Scene("timeline", ("timeline",), 0, of_timeline),
    Scene("status", ("status",), 0, of_status, 200),
    Scene("doctor", ("doctor",), 0, of_doctor),
    Scene("run", ("run", "--", "python", "tests/pictures/orders.py"), 1, of_run),
    Scene("plan", ("plan",), 0, usual),
)
"""The scenes in the order of the pictures: `run` stops Redis, and `plan` then shows the change."""


def scene(name: str) -> Scene:
    """Return the scene with that name."""
    return next(one for one in SCENES if one.name == name)


def shown(lines: Sequence[str]) -> list[str]:
    """Return the lines without empty lines at both ends, and with only the first few of many variables."""
    kept: list[str] = []
    variables = 0
    for line in lines:
        variables = variables + 1 if re.match(r" {2}[A-Z_]+=", ANSI.sub("", line)) else 0
        if variables <= SHOWN_VARIABLES:
            kept.append(line)
        elif variables == SHOWN_VARIABLES + 1:
            kept.append("  ...")
    while kept and not ANSI.sub("", kept[0]).strip():
        kept.pop(0)
    while kept and not ANSI.sub("", kept[-1]).strip():
        kept.pop()
    return kept


def alike(one: Scene, lines: Iterable[str], environment: str) -> list[str]:
    """Return the lines in the form that must be equal in two outputs of the scene."""
    return [said for line in lines if (said := one.alike(line.replace(environment, "gateway")))]
