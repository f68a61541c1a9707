"""Tests of the documents' index: README links each guide, and each option belongs to envkit or to a named tool."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from envkit.cli.tasks import namespace
from tests.docs.blocks import ROOT
from tests.unit.project.test_docs import DOCUMENTS, FENCE, shown

OTHERS = {
    "--advertise-address", "--admission-control-config-file",  # kube-apiserver
    "--syslog-ident",  # redis-server
    "--junit-xml", "--junitfile", "--ginkgo.junit-report", "--junitxml",  # test runners, for their reports
    "--find-links", "--no-index", "--wheel-dir", "--force-reinstall", "--user",  # pip
    "--from",  # uvx
    "--network", "--privileged",  # docker run
    "--wait", "--pull", "--help", "--version", "--list",
    "--no-kind",  # tests/host/prepare
    "--fast",  # ./dev test
    "--rounds", "--engine", "--brief", "--time",
}  # fmt: skip
"""Options of programs other than envkit."""

KNOWN = {
    f"--{name.replace('_', '-')}"
    for task in namespace.tasks.values()
    for argument in task.get_arguments()
    for name in argument.names
}


@pytest.mark.parametrize("guide", sorted((ROOT / "docs").glob("*.md")), ids=shown)
def test_the_readme_leads_to_it(guide: Path) -> None:
    assert f"({shown(guide)}" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("document", [one for one in DOCUMENTS if "adr" not in one.parts], ids=shown)
def test_every_option_that_is_named_exists(document: Path) -> None:
    prose = FENCE.sub("", document.read_text())
    named = {
        found for code in re.findall(r"`([^`\n]+)`", prose) for found in re.findall(r"(?<!\S)--[a-z][\w.-]*", code)
    }
    assert named - KNOWN - OTHERS == set()
