"""How envkit is installed: the distribution is `envkit-orchestrator`; the package and the program are `envkit`."""

from __future__ import annotations

import json
import os
import sys
from functools import cache

DISTRIBUTION = "envkit-orchestrator"
"""The name for pip. `envkit` on the public index is another author's parser of environment variables."""

BESIDE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120  pathlib costs a millisecond
"""The folder that contains the package envkit: `site-packages`, or a checkout."""


def extra_command(extra: str) -> str:
    """Return the command that installs the packages of an extra; pip keeps the installed version of envkit."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def other_version(folder: str = BESIDE) -> str:
    """Return the version of the other distribution `envkit` in the folder, or an empty string if there is none.

    The function lists one folder, which takes 0.2 ms for 200 names. Importing `importlib.metadata` alone takes a
    hundred times as long.
    """
    try:
        names = os.listdir(folder)  # noqa: PTH208  pathlib costs a millisecond
    except OSError:  # a zip file, or a folder without read permission
        return ""
    found = (name for name in names if name.startswith("envkit-") and name.endswith(".dist-info"))
    return next(found, "").removeprefix("envkit-").removesuffix(".dist-info")


@cache
def warn_of_other() -> None:
    """Write a warning and its remedy to stderr if the other distribution `envkit` is installed beside ours.

    The function writes the warning once per process.

    Both distributions install a package `envkit`. The distribution that is installed later overwrites files of the
    earlier one. If one is uninstalled, pip removes files of the other. This command does not need those files, so it
    continues.
    """
    version = other_version()
    if not version:
        return
    message = f"the distribution envkit {version} is installed beside {DISTRIBUTION}, in {BESIDE}: "
    message += "both contain `import envkit`, and each overwrites files of the other"
    hints = (
        f"{sys.executable} -m pip uninstall envkit; then install {DISTRIBUTION} again, with --force-reinstall",
        "or keep them apart: install one of them in a separate environment with `pipx`, `uvx` or `python -m venv`",
    )
    if "--json" in sys.argv:
        row = {"event": "warning", "message": message, "hint": "\n".join(hints)}
        sys.stderr.write(json.dumps(row) + "\n")
    else:
        sys.stderr.write(f"warning: {message}\n" + "".join(f"next: {hint}\n" for hint in hints))
