"""Runs the suite of examples/gateway in a running environment, as a user would."""

from __future__ import annotations

import re
import sys

from tests.support.box import Box

QUICK = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
"""A variable that disables the pytest plugins of this repository, which take seconds to import in each worker."""


def passes(box: Box, workers: int, repeat: int = 3) -> str:
    """Run the suite `repeat` times, check that all tests pass each time, and return the table of runs."""
    pytest_ = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "xdist.plugin")
    suite = ("examples/gateway", "-n", str(workers))
    said = box("run", "--repeat", str(repeat), "--", *pytest_, *suite, seconds=300.0 * repeat, **QUICK).ok()
    words = said.out + said.err
    closing = re.findall(r"^.*\d+ passed.* in [\d.]+s.*$", words, re.MULTILINE)
    assert len(closing) == repeat and not re.search(r"\d+ failed|LOST", words), said
    assert f"{repeat} clean runs in a row" in words, said
    return words[words.index("RUN ") :]
