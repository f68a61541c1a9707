"""The operations, called as the command line calls them: with the values of an opened environment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from envkit import evidence
from envkit.evidence import Findings
from envkit.evidence.redaction import Redactor
from envkit.evidence.secrets import redactor as known_redactor
from envkit.operations import follow as following
from envkit.operations import gather as gathering
from envkit.operations import host_access, services
from envkit.operations import pause as pausing
from envkit.operations import reset as resetting
from envkit.operations import shell as entering
from envkit.operations import status as looking
from envkit.operations import up as bringing_up
from envkit.operations.record import Provenance
from envkit.operations.status import Status
from envkit.operations.up import Consent, Intent, Options, Outcome
from envkit.planning.facts import Facts
from envkit.planning.plan import Desired, Plan
from tests.support.fake_session import Session


def up(
    it: Session, names: Sequence[str] = (), *, rebuild: bool = False, keep: bool = False,
    intent: Intent | None = None, consent: Consent | None = None,
) -> Outcome:  # fmt: skip
    options = Options(names, rebuild, keep, intent, consent)
    provenance = Provenance(it.asked)
    return bringing_up.up(it.environment, it.paths, it.drivers, it.control, provenance, it.placement, options)


def make_plan(it: Session, names: Sequence[str] = (), rebuild: bool = False) -> tuple[Plan, Desired, Facts]:
    return bringing_up.make_plan(it.environment, it.paths, it.drivers, it.cancel, names, rebuild)


def status(it: Session) -> Status:
    return looking.status(it.environment, it.paths, it.drivers, it.cancel)


def looks(it: Session, every: float) -> Iterator[Status]:
    return looking.looks(it.environment, it.paths, it.drivers, it.cancel, every)


def pause(it: Session) -> list[str]:
    return pausing.pause(it.environment, it.paths, it.drivers, it.control, it.up_command)


def reset(it: Session) -> list[resetting.Part]:
    return resetting.reset(it.environment, it.paths, it.drivers, it.control, it.up_command)


def flush(it: Session) -> list[resetting.Part]:
    return resetting.flush(it.environment, it.paths, it.drivers, it.control, it.up_command)


def restart(it: Session, names: Sequence[str]) -> None:
    services.restart(it.environment, it.paths, it.drivers, it.control, it.up_command, names)


def logs(it: Session, names: Sequence[str], tail: int | None, write: Callable[[str], None]) -> None:
    services.logs(it.environment, it.drivers.runtime, it.up_command, names, tail, write)


def follow(it: Session, names: Sequence[str], tail: int | None, write: Callable[[str, str], None]) -> None:
    following.follow(it.environment, it.drivers.runtime, it.control, it.up_command, names, tail, write)


def entry(it: Session, name: str, argv: Sequence[str], *, tty: bool) -> entering.Entry:
    environ = it.drivers.caller.environ
    return entering.entry(it.environment, it.paths, it.drivers, it.cancel, environ, it.up_command, name, argv, tty=tty)


def gather(it: Session, **more: Any) -> gathering.Gathered:
    return gathering.gather(it.environment, it.paths, it.drivers, it.control, **more)


def look(it: Session, run_folder: Path | None, **more: Any) -> Findings:
    return evidence.examine(it.environment, it.paths, it.drivers, run_folder, **more)


def collect(it: Session, run_folder: Path | None, **more: Any) -> Path:
    return evidence.collect(it.environment, it.paths, it.drivers, run_folder, **more)


def redactor(it: Session) -> Redactor:
    return known_redactor(it.environment, it.paths, it.drivers.caller.environ)


def variables(it: Session) -> dict[str, str]:
    return host_access.variables(it.environment, it.paths, it.drivers)
