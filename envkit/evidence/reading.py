"""What the rules read from the findings, in the words that they need. Pure."""

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
    """How the command ended, for people."""
    return f"the command ended with {found.code}" if found.code is not None else "the command never ran"


def clock(at: float) -> str:
    """A moment as people read it."""
    return f"{datetime.fromtimestamp(at):%H:%M:%S}"


def complaining_of(one: Hypothesis, found: Findings) -> list[Failure]:
    """The failed tests whose message fits what is suspected: its service's port, or its kind of trouble."""
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
    """A suspicion of a service that could not be reached."""
    return Hypothesis("environment", sure, reason, hint, at, over, service, kinds=log_patterns.REACH)


def of(found: Findings, *kinds: str) -> list[Happening]:
    """What happened of these kinds, in the order of time."""
    return [one for one in found.happenings if one.kind in kinds]


def failed(found: Findings) -> tuple[Failure, ...]:
    """The failed tests that the command's reports tell of."""
    return found.tests.failed if found.tests else ()


def unreached(failure: Failure) -> tuple[int, ...]:
    """Ports of this machine that the test could not reach."""
    said = log_patterns.complaint(failure.message)
    return said.ports if log_patterns.REACH & set(said.kinds) else ()


def number(value: object) -> float:
    """The value as a number, 0 when it is none."""
    try:
        return float(str(value))
    except ValueError:
        return 0.0
