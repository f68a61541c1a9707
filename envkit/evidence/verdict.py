"""Decides whether the environment or the test is at fault. Pure.

Rules yield hypotheses from the findings. The messages of failed tests raise or lower their confidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from envkit.evidence import reading, rules, rules_tests
from envkit.evidence.findings import Findings
from envkit.evidence.hypothesis import CONFIDENCES, Confidence, Fault, Hypothesis, weaker

NOTICED = 5.0
"""Seconds within which the watch notices and records an event, even on a busy machine."""


@dataclass(frozen=True)
class Verdict:
    """The result of the judgement: fault, reason, confidence, further evidence (`because`), and the next step.

    The fault `none` means that nothing failed. `unknown` means that something failed, and its cause is not known.
    """

    fault: Fault
    reason: str
    confidence: Confidence = "certain"
    because: tuple[str, ...] = ()
    next: str = ""

    @property
    def headline(self) -> str:
        """Return the verdict in one line, for the end of a run and the top of the evidence."""
        match self.fault:
            case "none":
                return f"verdict: no fault: {self.reason}"
            case "unknown":
                return f"verdict: unknown: {self.reason}"
        who = {"environment": "the environment's fault", "test": "not the environment's fault"}[self.fault]
        return f"verdict: {who} ({self.confidence}): {self.reason}"

    def text(self) -> str:
        """Return the headline, the further evidence, and the next step."""
        lines = [self.headline, *(f"  - {line}" for line in self.because)]
        return "\n".join([*lines, f"next: {self.next}"] if self.next else lines)


def judge(findings: Findings) -> Verdict:
    """Return the verdict for the strongest hypothesis. If several are equally strong, the first rule's is chosen.

    A fault of the environment counts less if no message of a failed test relates to it.
    """
    found = [_weighed(one, findings) for rule in rules.ENVIRONMENT for one in rule(findings)]
    if findings.error is None and findings.code in (0, None):
        return _nothing_failed(findings, found)
    found += [one for rule in rules_tests.TESTS for one in rule(findings)]
    if not found:
        return Verdict("unknown", reading.ended(findings), "possible", next="look at the command's own output")
    found = [one for one in found if not one.plain] or found
    chosen = max(found, key=lambda one: CONFIDENCES.index(one.confidence))  # `max` returns the first of equals
    return _verdict(chosen, [one for one in found if one is not chosen], findings)


def _verdict(chosen: Hypothesis, others: Sequence[Hypothesis], findings: Findings) -> Verdict:
    """Return the verdict for the chosen hypothesis.

    If it says with certainty that the test is at fault, hypotheses for another fault make it one step less certain.
    """
    against = [one for one in others if one.fault != chosen.fault and not one.plain]
    confidence = chosen.confidence
    if against and confidence == "certain" and chosen.fault == "test":
        confidence = weaker(confidence)
    same = [one.reason for one in others if one.fault == chosen.fault and not one.plain]
    because = [*chosen.because, *same, *(f"against it: {one.reason}" for one in against)]
    if findings.tests and findings.tests.tests:
        because.append(f"the command's reports: {findings.tests.summary()}")
    return Verdict(chosen.fault, chosen.reason, confidence, tuple(dict.fromkeys(because)), chosen.next)


def _nothing_failed(findings: Findings, found: Sequence[Hypothesis]) -> Verdict:
    """Return the verdict if the command succeeded or never ran. If it never ran, judge the environment's state."""
    told = tuple(dict.fromkeys(one.reason for one in found))
    if findings.code == 0:
        return Verdict("none", "the command succeeded", "certain", told)
    if findings.signum:
        return Verdict("unknown", f"stopped by signal {findings.signum} before the command ended", "possible", told)
    strong = [one for one in found if one.confidence != "possible"]
    if strong:
        chosen = max(strong, key=lambda one: CONFIDENCES.index(one.confidence))
        return _verdict(chosen, [one for one in found if one is not chosen], findings)
    if findings.services is None:
        return Verdict("none", "nothing of the environment exists", "certain", told, "bring it up with `up`")
    return Verdict("none", "all services that should run are running and answer", "certain", told)


def _weighed(one: Hypothesis, findings: Findings) -> Hypothesis:
    """Return the hypothesis with its confidence raised or lowered by the messages of the failed tests, if any."""
    report = findings.tests
    if one.fault != "environment" or one.proved or report is None or not report.failed:
        return one
    complaining = reading.complaining_of(one, findings)
    if complaining:
        said = f"{len(complaining)} of {len(report.failed)} failed tests report it, first {complaining[0].test}"
        sure: Confidence = "likely" if one.confidence == "possible" else "certain"
        return replace(one, confidence=sure, because=(*one.because, said))
    last = report.last_failure
    if one.at is not None and last is not None and one.at > last + NOTICED:
        said = "it happened after the last test had failed"
        return replace(one, confidence="possible", because=(*one.because, said))
    if one.over:
        said = "it had recovered, and no failed test reports it: the suite may have caused it on purpose"
        return replace(one, confidence="possible", because=(*one.because, said))
    said = "no failed test names it"
    return replace(one, confidence=weaker(one.confidence), because=(*one.because, said))
