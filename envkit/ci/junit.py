"""Build a JUnit report of the steps and of the command under `run`, without side effects.

GitLab, Jenkins and others show this report beside the reports of tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from xml.etree import ElementTree

from envkit.ci.job_report import JobReport, Trouble

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not allow, even if escaped, such as ESC, which begins a terminal's colour codes."""


def document(account: JobReport) -> str:
    """Return the report: a case for each step, for each run of the command, and for an error outside of any step."""
    cases = [*_steps(account), *_runs(account)]
    if account.trouble is not None and not any(case.find("error") is not None for case in cases):
        cases.append(_broken(account, account.trouble))
    suite = ElementTree.Element("testsuite", name=_clean(f"envkit {account.verb} {account.name}"))
    counts = {
        "tests": len(cases),
        **{
            key: sum(case.find(tag) is not None for case in cases)
            for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))
        },
    }
    moment = datetime.fromtimestamp(account.began, UTC).replace(tzinfo=None)
    attributes = {**{key: str(count) for key, count in counts.items()}, "time": f"{account.seconds:.3f}"}
    suite.attrib.update(attributes)
    suite.set("timestamp", moment.isoformat(timespec="seconds"))
    suite.extend(cases)
    root = ElementTree.Element("testsuites", attributes)
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _steps(account: JobReport) -> Iterator[ElementTree.Element]:
    for step in account.steps:
        case = _case("envkit.up", step.step, step.seconds)
        if step.state == "failed":
            _say(
                case, "error", step.message, kind="step", text=account.trouble.text if account.trouble else step.message
            )
        elif step.state in ("done", "kept"):
            ElementTree.SubElement(case, "system-out").text = _clean(f"{step.state}: {step.message}")
        else:
            _say(case, "skipped", f"{step.state}: {step.message}" if step.message else step.state)
        yield case


def _runs(account: JobReport) -> Iterator[ElementTree.Element]:
    for row in account.rows:
        case = _case("envkit.run", "command" if len(account.rows) == 1 else f"command, run {row.number}", row.seconds)
        why = account.verdict.text() if account.verdict and row is account.rows[-1] else row.reason
        said = f"ended with {row.code}" + (f": {row.reason}" if row.reason else "")
        if row.result == "failed":
            _say(case, "failure", said, kind="command", text=why)
        elif row.result == "environment":
            _say(case, "error", said, kind="environment", text=why)
        elif row.result == "cancelled":
            _say(case, "skipped", "cancelled")
        yield case


def _broken(account: JobReport, trouble: Trouble) -> ElementTree.Element:
    case = _case(f"envkit.{account.verb}", account.verb, account.seconds)
    if account.result == "cancelled":
        _say(case, "skipped", trouble.message)
    else:
        _say(case, "error", trouble.message, kind=trouble.kind, text=trouble.text)
    return case


def _case(group: str, name: str, seconds: float) -> ElementTree.Element:
    return ElementTree.Element("testcase", classname=group, name=_clean(name), time=f"{seconds:.3f}")


def _say(case: ElementTree.Element, tag: str, message: str, *, kind: str = "", text: str = "") -> None:
    first = message.splitlines()[0] if message else ""
    made = ElementTree.SubElement(case, tag, message=_clean(first))
    if kind:
        made.set("type", kind)
    made.text = _clean(text) or None


def _clean(text: str) -> str:
    return _NOT_XML.sub("", text)
