"""Whose fault was it? Rules look at the findings and say what they suspect; the tests' own words weigh it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from envkit.evidence import reading, rules, rules_tests
from envkit.evidence.findings import Findings
from envkit.evidence.hypothesis import CONFIDENCES, Confidence, Fault, Hypothesis, weaker

NOTICED = 5.0
"""Seconds within which what happened is seen and stamped, also on a busy machine."""


@dataclass(frozen=True)
class Verdict:
    """Who is at fault, why, how sure that is, what else speaks for it, and what to do next.

    `none`: nothing failed. `unknown`: something did, and nothing tells what.
    """

    fault: Fault
    reason: str
    confidence: Confidence = "certain"
    because: tuple[str, ...] = ()
    next: str = ""

    @property
    def headline(self) -> str:
        """One line, for the end of a run and the top of the evidence."""
        match self.fault:
            case "none":
                return f"verdict: no fault: {self.reason}"
            case "unknown":
                return f"verdict: unknown: {self.reason}"
        who = {"environment": "the environment's fault", "test": "not the environment's fault"}[self.fault]
        return f"verdict: {who} ({self.confidence}): {self.reason}"

    def text(self) -> str:
        """The headline, what it rests on, and the next step."""
        lines = [self.headline, *(f"  - {line}" for line in self.because)]
        return "\n".join([*lines, f"next: {self.next}"] if self.next else lines)


def judge(findings: Findings) -> Verdict:
    """The strongest suspicion; of equal ones that of the earlier rule.

    An environment's trouble counts less when the failed tests complain of nothing that has to do with it.
    """
    found = [_weighed(one, findings) for rule in rules.ENVIRONMENT for one in rule(findings)]
    if findings.error is None and findings.code in (0, None):
        return _nothing_failed(findings, found)
    found += [one for rule in rules_tests.TESTS for one in rule(findings)]
    if not found:
        return Verdict("unknown", reading.ended(findings), "possible", next="look at the command's own output")
    found = [one for one in found if not one.plain] or found
    chosen = max(found, key=lambda one: CONFIDENCES.index(one.confidence))  # the first of equals
    return _verdict(chosen, [one for one in found if one is not chosen], findings)


def _verdict(chosen: Hypothesis, others: Sequence[Hypothesis], findings: Findings) -> Verdict:
    """Suspicions against the other side take from the confidence."""
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
    """A command that succeeded is no fault of anybody; without a command it is the environment that is judged."""
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
        return Verdict("none", "nothing of the environment is there", "certain", told, "bring it up with `up`")
    return Verdict("none", "everything that should run does and answers", "certain", told)


def _weighed(one: Hypothesis, findings: Findings) -> Hypothesis:
    """The suspicion in the light of the failed tests, where there are reports of them."""
    report = findings.tests
    if one.fault != "environment" or one.proved or report is None or not report.failed:
        return one
    complaining = reading.complaining_of(one, findings)
    if complaining:
        said = f"{len(complaining)} of {len(report.failed)} failed tests complain of it, first {complaining[0].test}"
        sure: Confidence = "likely" if one.confidence == "possible" else "certain"
        return replace(one, confidence=sure, because=(*one.because, said))
    last = report.last_failure
    if one.at is not None and last is not None and one.at > last + NOTICED:
        said = "it happened after the last test had failed"
        return replace(one, confidence="possible", because=(*one.because, said))
    if one.over:
        said = "it was over again and no failed test complains of it: the suite may have done it on purpose"
        return replace(one, confidence="possible", because=(*one.because, said))
    said = "no failed test complains of it by name"
    return replace(one, confidence=weaker(one.confidence), because=(*one.because, said))
