"""Functions with which the rules read the findings. Pure: no clock, no I/O."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from envkit.evidence import log_patterns
from envkit.evidence.findings import Findings
from envkit.evidence.hypothesis import Confidence, Hypothesis
from envkit.evidence.junit import Failure

if TYPE_CHECKING:
    from envkit.watch.timeline import Happening


def ended(found: Findings) -> str:
    """Return how the command ended, as a phrase."""
    return f"the command ended with {found.code}" if found.code is not None else "the command never ran"


def clock(at: float) -> str:
    """Return the local time of day, such as `14:03:59`."""
    return f"{datetime.fromtimestamp(at):%H:%M:%S}"


def complaining_of(one: Hypothesis, found: Findings) -> list[Failure]:
    """Return the failed tests whose messages fit the hypothesis: they name its service's port, or show its kinds."""
    ports = {port for port, name in found.ports.items() if one.service and name.partition(".")[0] == one.service}
    hit = []
    for failure in failed(found):
        said = log_patterns.complaint(failure.message)
        named = bool(ports & set(said.ports))
        alone = bool(one.kinds & set(said.kinds)) and not (said.ports and one.service)
        if named or alone:
            hit.append(failure)
    return hit


def about(
    service: str, sure: Confidence, reason: str, hint: str, at: float | None = None, over: bool = False
) -> Hypothesis:
    """Return the hypothesis that a service could not be reached."""
    return Hypothesis("environment", sure, reason, hint, at, over, service, kinds=log_patterns.REACH)


def of(found: Findings, *kinds: str) -> list[Happening]:
    """Return the recorded events of these kinds, the oldest first."""
    return [one for one in found.happenings if one.kind in kinds]


def failed(found: Findings) -> tuple[Failure, ...]:
    """Return the failed tests in the command's reports."""
    return found.tests.failed if found.tests else ()


def unreached(failure: Failure) -> tuple[int, ...]:
    """Return the ports of this machine that the test could not reach."""
    said = log_patterns.complaint(failure.message)
    return said.ports if log_patterns.REACH & set(said.kinds) else ()


def number(value: object) -> float:
    """Return the value as a number, or 0 if it is not one."""
    try:
        return float(str(value))
    except ValueError:
        return 0.0
