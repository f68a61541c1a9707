"""examples/gateway, run as a user would in an environment that is up."""

from __future__ import annotations

import re
import sys

from tests.support.box import Box

QUICK = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
"""The plugins that this repository's own tests need take seconds to import in each worker."""


def passes(box: Box, workers: int, repeat: int = 3) -> str:
    """The table of consecutive runs, after every test has passed in each of them."""
    pytest_ = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "xdist.plugin")
    suite = ("examples/gateway", "-n", str(workers))
    said = box("run", "--repeat", str(repeat), "--", *pytest_, *suite, seconds=300.0 * repeat, **QUICK).ok()
    words = said.out + said.err
    closing = re.findall(r"^.*\d+ passed.* in [\d.]+s.*$", words, re.MULTILINE)
    assert len(closing) == repeat and not re.search(r"\d+ failed|LOST", words), said
    assert f"{repeat} clean runs in a row" in words, said
    return words[words.index("RUN ") :]
