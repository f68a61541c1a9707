"""Tests of the two example suites in this environment, started as their authors start them."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.e2e.embedded_box import EmbeddedBox
from tests.support.box import ROOT
from tests.support.gateway_suite import passes

pytestmark = [pytest.mark.e2e, pytest.mark.embedded]

DEBIANS = "/usr/lib/go-1.19/bin"


def test_the_gateways_suite(shared: EmbeddedBox) -> None:
    print(passes(shared, workers=4))


def test_the_suite_in_go(shared: EmbeddedBox) -> None:
    path = os.pathsep.join([os.environ["PATH"], DEBIANS])
    if not shutil.which("go", path=path):
        pytest.skip("no go is here")
    settings = {"PATH": path, "GOPROXY": "off", "GOTOOLCHAIN": "local"}
    suite = ("sh", "-c", f"cd '{ROOT}/examples/go' && exec go test -count=1 ./...")
    said = shared("run", "--", *suite, seconds=400.0, **settings).ok()
    assert said.out.startswith("ok"), said
