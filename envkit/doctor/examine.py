"""Run the checks in parallel. A check that hangs or fails is reported and does not stop the others."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module

from envkit.base import registry
from envkit.base.errors import EnvkitError
from envkit.doctor.finding import LANES, Finding, lacking
from envkit.doctor.host import Host

SECONDS = 15.0
"""Time limit of all checks, which run in parallel. An engine must answer within 5 s."""

Check = Callable[[Host], Iterable[Finding]]


def registered() -> tuple[tuple[str, Check], ...]:
    """Return all checks with their names, in the order of the registry."""
    return tuple(one for name in registry.CHECKS for one in import_module(name).CHECKS)


@dataclass(frozen=True)
class Examined:
    """All findings, in the order of the checks, and the duration in seconds."""

    findings: tuple[Finding, ...]
    seconds: float

    @property
    def lanes(self) -> dict[str, tuple[Finding, ...]]:
        """For each lane, the findings that prevent its use; the tuple is empty if the lane can be used."""
        return {lane: tuple(lacking(self.findings, lane)) for lane in LANES}

    def usable(self, lane: str = "auto") -> bool:
        """Return whether the lane can be used, or for `auto` whether any lane can be used."""
        verdicts = self.lanes
        return not verdicts[lane] if lane in verdicts else not all(verdicts.values())


def examine(host: Host, checks: Sequence[tuple[str, Check]], seconds: float = SECONDS) -> Examined:
    """Run each check in its own thread and return the findings. A check that exceeds `seconds` yields a warning."""
    began = time.monotonic()
    answers: queue.Queue[tuple[str, list[Finding]]] = queue.Queue()
    for name, check in checks:
        threading.Thread(target=_put, args=(answers, name, check, host), daemon=True, name=f"check {name}").start()
    found: dict[str, list[Finding]] = {}
    while len(found) < len(checks):
        left = seconds - (time.monotonic() - began)
        try:
            name, findings = answers.get(timeout=max(0.0, left))
        except queue.Empty:
            break
        found[name] = findings
    late = Finding("", (), "warning", f"no answer within {seconds:.0f} s", "check whether an engine or a disk hangs")
    rows = [row for name, _ in checks for row in found.get(name, [_named(late, name)])]
    return Examined(tuple(rows), time.monotonic() - began)


def _put(answers: queue.Queue[tuple[str, list[Finding]]], name: str, check: Check, host: Host) -> None:
    try:
        answers.put((name, list(check(host))))
    except Exception as error:  # noqa: BLE001  one check that fails must not hide the others
        said = error.message if isinstance(error, EnvkitError) else repr(error)
        answers.put((name, [Finding(name, (), "warning", f"could not be checked: {said}")]))


def _named(finding: Finding, name: str) -> Finding:
    from dataclasses import replace

    return replace(finding, name=name)
