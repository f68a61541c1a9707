"""GitHub Actions: workflow commands on the log, and the files that `$GITHUB_ENV` and its like name.

https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions. Groups do not nest there: a second
one ends the first. So nothing but envkit's own steps is ever inside one; a command under `run` may make groups itself.
"""

from __future__ import annotations

import itertools
import json
import re
import secrets as random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote

from envkit.base.ci_job import Identity
from envkit.ci.platform import Left, Mark, Platform, Say

LARGEST_SUMMARY = 1 << 20
"""Bytes of one step's summary; GitHub refuses a larger one altogether."""

PARTS = (
    "GITHUB_SERVER_URL",
    "GITHUB_REPOSITORY",
    "GITHUB_RUN_ID",
    "GITHUB_RUN_ATTEMPT",
    "GITHUB_JOB",
    "RUNNER_NAME",
)
"""Variables that together differ for each job but those of one matrix."""

TRACKING = "RUNNER_TRACKING_ID"
"""GitHub's runner gives each job, of a matrix too, a new `github_GUID`; a step may set it to something else."""

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def data(text: str) -> str:
    """A command's text as it is written: one line."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def value(text: str) -> str:
    """A command's property, in which `:` and `,` mean something too."""
    return data(text).replace(":", "%3A").replace(",", "%2C")


def command(name: str, text: str = "", **properties: str) -> str:
    """`::name key=value,...::text`, properties without a value left out."""
    given = ",".join(f"{key}={value(said)}" for key, said in properties.items() if said)
    return f"::{name}{' ' if given else ''}{given}::{data(text)}\n"


def entry(name: str, text: str) -> str:
    """A value for one of the files, between two lines that nothing can guess and that the value does not hold."""
    end = f"envkit_{random.token_hex(16)}"
    assert end not in text
    return f"{name}<<{end}\n{text}\n{end}\n"


def refused(name: str) -> str:
    """Why GitHub would not take a variable of this name; empty when it does."""
    if not NAME.fullmatch(name):
        return "is no name of a variable"
    if name.startswith(("GITHUB_", "RUNNER_")) or name == "NODE_OPTIONS":
        return "is a name that GitHub keeps for itself"
    return ""


class GitHub:
    """A step of a job; Gitea's and Forgejo's runners read the same."""

    def __init__(self, environ: Mapping[str, str], say: Say) -> None:
        self._environ, self._say = environ, say

    @contextmanager
    def group(self, title: str, *, folded: bool = True) -> Iterator[None]:
        """Folded always: what is to be seen at once gets a line with its title instead."""
        self._say(command("group", title) if folded else f"\n{title}\n")
        try:
            yield
        finally:
            if folded:
                self._say(command("endgroup"))

    @contextmanager
    def foreign(self) -> Iterator[None]:
        """Commands are not heeded until a word is said that nobody else knows."""
        word = random.token_hex(16)
        self._say(command("stop-commands", word))
        try:
            yield
        finally:
            self._say(command(word))

    def annotate(self, mark: Mark) -> None:
        """On the run's page, and beside the file where one is named."""
        line = str(mark.line) if mark.line and mark.file else ""
        self._say(command(mark.level, mark.text, file=self._in_repository(mark.file), line=line, title=mark.title))

    def mask(self, secrets: Sequence[str]) -> None:
        """Each as it is, as it stands in a URL (where it may come from), and as JSON has it."""
        spelt = [(one, quote(unquote(one), safe=""), json.dumps(one)[1:-1]) for one in secrets]
        for one in dict.fromkeys(itertools.chain.from_iterable(spelt)):
            self._say(command("add-mask", one))

    def leave(self, left: Left) -> list[str]:
        """Into the files, as far as they are there."""
        names = {name: refused(name) for name in left.variables}
        taken = {name: text for name, text in left.variables.items() if not names[name]}
        self._append("GITHUB_ENV", "".join(entry(*pair) for pair in sorted(taken.items())))
        self._append("GITHUB_OUTPUT", "".join(entry(*pair) for pair in left.outputs.items()))
        page = left.summary.encode()
        if len(page) > LARGEST_SUMMARY:
            page = page[: LARGEST_SUMMARY - 100].decode(errors="ignore").encode() + b"\n\n(cut here)\n"
        self._append("GITHUB_STEP_SUMMARY", page.decode())
        return [f"{name} is not in $GITHUB_ENV: it {why}" for name, why in sorted(names.items()) if why]

    def _append(self, variable: str, text: str) -> None:
        if text and self._environ.get(variable):
            with Path(self._environ[variable]).open("a", encoding="utf-8", newline="") as file:
                file.write(text)

    def _in_repository(self, file: str) -> str:
        """Relative to the checkout, which is what annotations go by."""
        home = self._environ.get("GITHUB_WORKSPACE", "")
        path = Path(file).absolute() if file else Path()
        return str(path.relative_to(home)) if file and home and path.is_relative_to(home) else file


class Files(GitHub):
    """For `--json`, where other lines would disturb a program: masks and files, and nothing that is only to be seen."""

    @contextmanager
    def group(self, title: str, *, folded: bool = True) -> Iterator[None]:  # noqa: ARG002  the seam has it
        """None."""
        yield

    @contextmanager
    def foreign(self) -> Iterator[None]:
        """An error's text stays as it is everywhere."""
        yield

    def annotate(self, mark: Mark) -> None:
        """The error itself has been shown."""


def platform(environ: Mapping[str, str], say: Say, *, as_json: bool) -> Platform:
    """Return the one that writes to this step's log and files; with `as_json` only what must not be missing."""
    return Files(environ, say) if as_json else GitHub(environ, say)


def identity(environ: Mapping[str, str], said: str) -> Identity | None:
    """Return the identity of the job, `said` added; None where the variables of a run are missing."""
    number, tracked = environ.get("GITHUB_RUN_ID", ""), environ.get(TRACKING, "")
    parts = [environ.get(one, "") for one in PARTS] + [tracked if tracked.startswith("github_") else "", said]
    return Identity("github", number, tuple(parts)) if number else None
