"""How envkit is installed: as the distribution `envkit-orchestrator`, whose import package and program are `envkit`."""

from __future__ import annotations

import json
import os
import sys
from functools import cache

DISTRIBUTION = "envkit-orchestrator"
"""The name that pip knows. `envkit` on the public index is an environment-variable parser by somebody else."""

BESIDE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120  pathlib costs a millisecond
"""The folder that holds the package envkit: `site-packages`, or a checkout."""


def extra_command(extra: str) -> str:
    """Return the command that adds an extra's packages to an installed envkit; pip keeps the envkit that is there."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def other_version(folder: str = BESIDE) -> str:
    """Return the version of the distribution `envkit` that is installed in the folder, or an empty string.

    It lists one folder: 0.2 ms for 200 names. The import of `importlib.metadata` alone takes a hundred times as long.
    """
    try:
        names = os.listdir(folder)  # noqa: PTH208  as above
    except OSError:  # a zip file, or a folder that may only be searched
        return ""
    found = (name for name in names if name.startswith("envkit-") and name.endswith(".dist-info"))
    return next(found, "").removeprefix("envkit-").removesuffix(".dist-info")


@cache
def warn_of_other() -> None:
    """Write a warning with its remedy to stderr, once, when the distribution `envkit` shares this Python with ours.

    Both install a package `envkit`, so the later one overwrites files of the earlier one, and the first one that is
    uninstalled removes files of the other. Nothing here depends on those files: the command is carried out.
    """
    version = other_version()
    if not version:
        return
    message = f"the distribution envkit {version} is installed beside {DISTRIBUTION}, in {BESIDE}: "
    message += "both contain `import envkit`, and each overwrites files of the other"
    hints = (
        f"{sys.executable} -m pip uninstall envkit; then install {DISTRIBUTION} again, with --force-reinstall",
        "or keep them apart: `pipx`, `uvx` or `python -m venv` give one of them an environment of its own",
    )
    if "--json" in sys.argv:
        row = {"event": "warning", "message": message, "hint": "\n".join(hints)}
        sys.stderr.write(json.dumps(row) + "\n")
    else:
        sys.stderr.write(f"warning: {message}\n" + "".join(f"next: {hint}\n" for hint in hints))
