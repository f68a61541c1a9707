"""GitHub Actions: workflow commands in the log, and the files named by `$GITHUB_ENV`, `$GITHUB_OUTPUT` and others.

https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions. Groups do not nest on GitHub: a
second group ends the first one. So only envkit's own steps are inside a group, and a command under `run` can print its
own groups.
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
from envkit.ci.platform import Annotation, JobResult, Platform, Say

LARGEST_SUMMARY = 1 << 20
"""Maximum size in bytes of one step's summary. GitHub rejects a larger one completely."""

PARTS = (
    "GITHUB_SERVER_URL",
    "GITHUB_REPOSITORY",
    "GITHUB_RUN_ID",
    "GITHUB_RUN_ATTEMPT",
    "GITHUB_JOB",
    "RUNNER_NAME",
)
"""Variables that together identify a job, except that the jobs of one matrix share them."""

TRACKING = "RUNNER_TRACKING_ID"
"""The variable with a new `github_GUID` for each job, also within a matrix. A step can set it to another value."""

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def data(text: str) -> str:
    """Return the text of a command, escaped to one line."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def value(text: str) -> str:
    """Return the value of a command's property, escaped to one line; `:` and `,` are escaped too."""
    return data(text).replace(":", "%3A").replace(",", "%2C")


def command(name: str, text: str = "", **properties: str) -> str:
    """Return the line `::name key=value,...::text`, without empty properties."""
    given = ",".join(f"{key}={value(said)}" for key, said in properties.items() if said)
    return f"::{name}{' ' if given else ''}{given}::{data(text)}\n"


def entry(name: str, text: str) -> str:
    """Return an entry for one of GitHub's files: the value ends at a random delimiter, which no program can guess."""
    end = f"envkit_{random.token_hex(16)}"
    assert end not in text
    return f"{name}<<{end}\n{text}\n{end}\n"


def refused(name: str) -> str:
    """Return why GitHub rejects a variable of this name, or an empty string if it accepts it."""
    if not NAME.fullmatch(name):
        return "is not a valid variable name"
    if name.startswith(("GITHUB_", "RUNNER_")) or name == "NODE_OPTIONS":
        return "is a name that GitHub reserves"
    return ""


class GitHub:
    """One step of a GitHub job. Gitea's and Forgejo's runners accept the same commands."""

    def __init__(self, environ: Mapping[str, str], say: Say) -> None:
        self._environ, self._say = environ, say

    @contextmanager
    def group(self, title: str, *, folded: bool = True) -> Iterator[None]:
        """Print a group. With `folded=False`, print a line with the title, because GitHub folds every group."""
        self._say(command("group", title) if folded else f"\n{title}\n")
        try:
            yield
        finally:
            if folded:
                self._say(command("endgroup"))

    @contextmanager
    def foreign(self) -> Iterator[None]:
        """Make GitHub ignore workflow commands inside the `with` block, which ends with a random stop token."""
        word = random.token_hex(16)
        self._say(command("stop-commands", word))
        try:
            yield
        finally:
            self._say(command(word))

    def annotate(self, mark: Annotation) -> None:
        """Print the annotation. GitHub shows it on the run's page, and beside the line if `mark` names a file."""
        line = str(mark.line) if mark.line and mark.file else ""
        self._say(command(mark.level, mark.text, file=self._in_repository(mark.file), line=line, title=mark.title))

    def mask(self, secrets: Sequence[str]) -> None:
        """Mask each secret in three forms: as it is, percent-encoded as in a URL, and escaped as in JSON.

        A secret that comes from a URL can be percent-encoded already.
        """
        spelt = [(one, quote(unquote(one), safe=""), json.dumps(one)[1:-1]) for one in secrets]
        for one in dict.fromkeys(itertools.chain.from_iterable(spelt)):
            self._say(command("add-mask", one))

    def leave(self, left: JobResult) -> list[str]:
        """Append variables, outputs and the summary to GitHub's files, if GitHub's variables name such files.

        Return one line for each variable that GitHub rejects.
        """
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
        """Return the path relative to the checkout, as annotations need it; a path outside stays unchanged."""
        home = self._environ.get("GITHUB_WORKSPACE", "")
        path = Path(file).absolute() if file else Path()
        return str(path.relative_to(home)) if file and home and path.is_relative_to(home) else file


class Files(GitHub):
    """A GitHub step under `--json`: it writes masks and files only, because other lines would break the JSON output."""

    @contextmanager
    def group(self, title: str, *, folded: bool = True) -> Iterator[None]:  # noqa: ARG002  protocol
        """Print no group."""
        yield

    @contextmanager
    def foreign(self) -> Iterator[None]:
        """Print no stop token."""
        yield

    def annotate(self, mark: Annotation) -> None:
        """Print no annotation, because the JSON output contains the error."""


def platform(environ: Mapping[str, str], say: Say, *, as_json: bool) -> Platform:
    """Return the platform that writes to this step's log and files; with `as_json` it writes only masks and files."""
    return Files(environ, say) if as_json else GitHub(environ, say)


def identity(environ: Mapping[str, str], said: str) -> Identity | None:
    """Return the identity of the job, made from its variables and `said`, or None if the run's number is missing."""
    number, tracked = environ.get("GITHUB_RUN_ID", ""), environ.get(TRACKING, "")
    parts = [environ.get(one, "") for one in PARTS] + [tracked if tracked.startswith("github_") else "", said]
    return Identity("github", number, tuple(parts)) if number else None
