"""GitLab CI: sections of the log, and the dotenv report, which passes variables of a job to later jobs.

https://docs.gitlab.com/ci/jobs/job_logs/ and https://docs.gitlab.com/ci/variables/dotenv_variables/. A GitLab job has
no command for masks or annotations. GitLab shows the JUnit report instead.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from envkit.base.ci_job import LEASE, Identity
from envkit.ci.plain import Plain
from envkit.ci.platform import Platform, Say
from envkit.inventory.export import masked

LARGEST = 5 << 10
"""Maximum size in bytes of a dotenv report: the limit of gitlab.com, and the default of other servers."""

PARTS = ("CI_SERVER_URL", "CI_PROJECT_PATH", "CI_JOB_ID")
"""Variables that together identify a job."""

AFTER = 600.0
"""Seconds added to the time limit of a job, for its `after_script`."""

NAME = re.compile(r"[A-Za-z0-9_]+")
_ERASE = "\x1b[0K"


class GitLab(Plain):
    """A GitLab job: it prints sections.

    GitLab masks only variables of the project's settings, and has no annotations. A job passes variables to later jobs
    only by an artifact: see `dotenv`.
    """

    def __init__(self, say: Say) -> None:
        self._say = say
        self._count = 0

    @contextmanager
    def group(self, title: str, *, folded: bool = True) -> Iterator[None]:
        """Print a section with a unique name. GitLab allows sections inside sections."""
        self._count += 1
        name = f"envkit_{int(time.time() * 1000)}_{self._count}"
        options = "[collapsed=true]" if folded else ""
        line = " ".join(title.split())
        self._say(f"{_ERASE}section_start:{int(time.time())}:{name}{options}\r{_ERASE}{line}\n")
        try:
            yield
        finally:
            self._say(f"{_ERASE}section_end:{int(time.time())}:{name}\r{_ERASE}\n")


def dotenv(variables: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return the dotenv report, and one line with the reason for each variable that is not in it.

    The report contains no secrets, because it is an artifact and later jobs would not mask them. It also contains no
    values that GitLab would change (several lines, spaces at the ends, quotes, references).
    """
    lines: list[str] = []
    without: list[str] = []
    size = 0
    for name, value in sorted(variables.items()):
        line = f"{name}={value}\n"
        why = _why_not(name, value)
        if not why and size + len(line.encode()) > LARGEST:
            why = f"the report would be larger than {LARGEST >> 10} KiB"
        if why:
            without.append(f"{name} is not in the dotenv report: {why}")
            continue
        size += len(line.encode())
        lines.append(line)
    return "".join(lines), without


def _why_not(name: str, value: str) -> str:
    if not NAME.fullmatch(name):
        return "GitLab allows only letters, digits and _ in names"
    if masked(name, value) != value:
        return "it has a secret, and artifacts must not have secrets"
    if "\n" in value or "\r" in value:
        return "its value has several lines, which GitLab does not allow"
    if value != value.strip() or not value:
        return "GitLab allows no empty value and no spaces at its ends"
    if re.search(r"""['"$`\\#]""", value):
        return "its value has quotes, $, \\ or #, which GitLab would interpret"
    return ""


def platform(_environ: Mapping[str, str], say: Say, *, as_json: bool) -> Platform:
    """Return a platform that writes sections to the job's log, or with `as_json` a platform that writes nothing."""
    return Plain() if as_json else GitLab(say)


def identity(environ: Mapping[str, str], said: str) -> Identity | None:
    """Return the identity of the job, made from its variables and `said`, or None if the job's number is missing.

    Its `limit` is the job's time limit plus `AFTER`, or `LEASE` if the time limit is unknown.
    """
    number, seconds = environ.get("CI_JOB_ID", ""), environ.get("CI_JOB_TIMEOUT", "")
    parts = [environ.get(one, "") for one in PARTS] + [said]
    limit = float(seconds) + AFTER if seconds.isdecimal() and int(seconds) else LEASE
    return Identity("gitlab", number, tuple(parts), limit) if number else None
