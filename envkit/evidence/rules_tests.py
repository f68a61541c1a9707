"""Rules for faults of the tests: messages of failed tests, and the command's exit code. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from envkit.evidence import log_patterns, rules
from envkit.evidence.findings import Findings
from envkit.evidence.hypothesis import Confidence, Fault, Hypothesis
from envkit.evidence.reading import ended, failed, unreached
from envkit.evidence.rules import Rule


def strange_address(found: Findings) -> Iterator[Hypothesis]:
    """Yield a hypothesis for the first test that tried a port of this machine outside the environment."""
    if not found.ports:
        return
    for failure in failed(found):
        strange = [port for port in unreached(failure) if port not in found.ports]
        if strange and not [port for port in unreached(failure) if port in found.ports]:
            reason = f"{failure.test} tried port {strange[0]}, which does not belong to the environment"
            yield Hypothesis("test", "likely", reason, "does the suite read the variables that `env` prints?")
            return


def registered_twice(found: Findings) -> Iterator[Hypothesis]:
    """Yield a hypothesis if failed tests registered metrics twice: several servers shared the global registry."""
    hit = [one for one in failed(found) if log_patterns.OWN in log_patterns.complaint(one.message).kinds]
    if hit:
        reason = f"{len(hit)} failed tests registered their metrics twice, first {hit[0].test}"
        yield Hypothesis("test", "certain", reason, "give each server or test its own registry")


def lacks_a_right(found: Findings) -> Iterator[Hypothesis]:
    """Yield a hypothesis if failed tests needed superuser rights. The users of the presets do not have such rights."""
    hit = [one for one in failed(found) if log_patterns.RIGHT in log_patterns.complaint(one.message).kinds]
    if hit:
        said = next(
            (
                line.strip()[:200]
                for line in hit[0].message.splitlines()
                if log_patterns.SIGNS[log_patterns.RIGHT].search(line)
            ),
            "",
        )
        hint = "options of the preset grant it: `superuser: true`, for an extension of PostgreSQL `extensions: [NAME]`"
        reason = f"{len(hit)} failed tests lack a permission in Redis or PostgreSQL, first {hit[0].test}"
        yield Hypothesis("test", "likely", reason, hint, because=(said,) if said else ())


def assertions(found: Findings) -> Iterator[Hypothesis]:
    """Yield a hypothesis if the command's reports contain failed tests whose messages show no other cause."""
    plain = [one for one in failed(found) if not log_patterns.complaint(one.message).kinds]
    if plain and found.tests:
        reason = f"{found.tests.failures} of {found.tests.tests} tests failed, first {plain[0].test}"
        said = next((line.strip()[:200] for line in plain[0].message.splitlines() if line.strip()), "")
        watched = "no service died, and every probe passed" if not rules.trouble_before(found) else ""
        because = tuple(line for line in (said, watched) if line)
        certain: Confidence = (
            "certain" if len(plain) == len(failed(found)) and not rules.trouble_before(found) else "likely"
        )
        yield Hypothesis("test", certain, reason, "look at the failed tests", because=because)


CODES: dict[int, tuple[Fault, Confidence, str, str]] = {
    126: ("test", "likely", "the command cannot be executed (126)", "is it a program, and executable?"),
    127: ("test", "likely", "the command, or one that it calls, was not found (127)", "is it installed and on PATH?"),
    124: ("unknown", "possible", "the command exceeded its time limit (124)", "what did it wait for? see the timeline"),
    125: ("unknown", "possible", "the command ended with 125: a container engine or another wrapper in it failed", ""),
    137: ("unknown", "possible", "the command was killed (137): by a user, or because memory ran out", "see host/"),
    143: ("unknown", "possible", "the command was asked to stop (143)", "who cancelled it, and was it slow?"),
    130: ("unknown", "possible", "the command was interrupted (130)", ""),
    139: ("test", "likely", "the command crashed (139, segmentation fault)", "look at its own output"),
    134: ("test", "likely", "the command aborted (134)", "look at its own output"),
}  # fmt: skip
"""Meaning of exit codes, by convention of shells, `timeout` and container engines."""

PYTEST = {
    2: "pytest was interrupted (2): by Ctrl-C, or by an error while it collected the tests",
    3: "pytest had an internal error (3)",
    4: "pytest was called with wrong arguments (4)",
    5: "pytest found no tests (5)",
}


def exit_code(found: Findings) -> Iterator[Hypothesis]:
    """Yield a hypothesis from the command's exit code alone."""
    code = found.code
    if code in (None, 0):
        return
    if code in CODES:
        fault, sure, reason, hint = CODES[code]
        yield Hypothesis(fault, sure, reason, hint, plain=fault == "unknown")
    elif code in PYTEST and any("pytest" in word or "py.test" in word for word in found.argv[:4]):
        yield Hypothesis("test", "likely", PYTEST[code], "look at pytest's own output")
    elif not failed(found):
        because = (
            ("every service answers, and none died",) if found.services and not rules.trouble_before(found) else ()
        )
        yield Hypothesis(
            "test", "likely", ended(found), "look at the command's own output", because=because, plain=True
        )


TESTS: tuple[Rule, ...] = (registered_twice, lacks_a_right, strange_address, assertions, exit_code)
"""Rules for faults of the tests and of the command, in order."""
