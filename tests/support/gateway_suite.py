"""examples/gateway, run as a user would in an environment that is up."""

from __future__ import annotations

import re
import sys

from tests.support.box import Box

QUICK = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
"""The plugins that this repository's own tests need take seconds to import in each worker."""


def passes(box: Box, workers: int, *words: str) -> str:
    """Pytest's closing line, after every test has passed."""
    pytest_ = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "xdist.plugin")
    suite = ("examples/gateway", "-n", str(workers), *words)
    said = box("run", "--", *pytest_, *suite, seconds=400.0, **QUICK).ok()
    closing = re.findall(r"^.*\d+ passed.* in [\d.]+s.*$", said.out, re.MULTILINE)
    assert closing and "failed" not in said.out and "LOST" not in said.out, said
    return str(closing[-1])
