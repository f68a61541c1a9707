"""Help: commands in groups, each with its options and with examples that a test parses."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from envkit.cli.options import COMMANDS, COMMON, SHORT

GROUPS: dict[str, tuple[str, ...]] = {
    "bring up, use, take away": ("up", "run", "env", "shell", "reset", "restart", "pause", "down"),
    "look": ("plan", "status", "logs", "timeline", "gather"),
    "this machine": ("doctor", "list", "prune", "images", "load"),
    "begin": ("init", "completion"),
}
"""Commands by what they are for; what stands in none of them comes last."""

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "up": (
        ("up", "everything that the profile declares"),
        ("up redis postgres --timeline", "two services and what they need; where the time went"),
        ("up --name second --port-offset 100 --ttl 8h", "another one beside the first, for today"),
        ("up --ci --artifacts out --junit envkit.xml", "in CI: evidence of a failure, a report of the steps"),
    ),
    "down": (("down", "what `up` brought up"), ("down --name second", "the other one")),
    "plan": (("plan", "every step, and why"), ("plan redis --json", "for a program")),
    "status": (
        ("status", "once; exits with 4 when not up"),
        ("status --watch", "again every two seconds"),
        ("status --json", "for a program"),
    ),
    "env": (
        ("env", "for a shell: eval \"$(envkit env)\""),
        ("env --format dotenv", "for a file; json also"),
    ),
    "logs": (
        ("logs -f", "all services as they write, until Ctrl-C"),
        ("logs redis --tail 100", "the last lines of one"),
    ),
    "restart": (("restart redis", "data kept, probes passed again"),),
    "gather": (("gather --artifacts out --archive", "evidence in one file"),),
    "reset": (("reset", "between two suites, without a restart"),),
    "run": (
        ("run -- pytest tests/integration", "up, the tests, down; exits with their code"),
        ("run --repeat 3 -- go test -count=1 ./...", "a gate: three clean runs in a row"),
        ("run --keep -- make test", "and leave the environment"),
        ("run --ci --artifacts out -- make test", "in CI: grouped, masked, with a verdict and a summary"),
    ),
    "doctor": (
        ("doctor", "every lane"),
        ("doctor --lane containers", "exits with 3 when that one cannot be used"),
        ("doctor --fix --yes", "mend what is your own, unasked"),
    ),
    "list": (("list", "all environments of this machine"), ("list --json", "for a program")),
    "prune": (
        ("prune", "show what may go, then ask"),
        ("prune --yes", "a nightly job's"),
        ("prune second --yes", "that one, if it may go"),
    ),
    "images": (
        ("images", "each image: who uses it, whether it is here, where it comes from"),
        ("images pull", "everything that is missing, several at once"),
        ("images build datastorage", "what that service builds, anew"),
        ("images save all.tar", "all that `up` needs on a machine without network"),
        ("images load all.tar", "there: whole or not at all"),
    ),
    "load": (("load shop/api:dev shop/web:dev", "from this engine into the running cluster"),),
    "shell": (
        ("shell postgres", "psql, as the configuration's user"),
        ("shell redis -- redis-cli INFO memory", "one command"),
        ("shell cluster", "where kubectl means this cluster"),
    ),
    "pause": (("pause", "`up` lets it go on"),),
    "timeline": (("timeline", "the last `up`"), ("timeline --json", "for a program")),
    "init": (("init", "envkit.yaml and tasks.py"), ("init --name shop", "under another name than the folder's")),
    "completion": (("completion bash", "for ~/.bashrc: eval \"$(envkit completion bash)\""),),
}  # fmt: skip

WORDS = {"prune": "[ENVIRONMENT...]", "run": "-- COMMAND", "restart": "SERVICE...", "completion": "bash|zsh|fish"}
WORDS |= {"images": "[pull|build [SERVICE...]|save [FILE]|load FILE]", "load": "IMAGE..."}
WORDS |= {"shell": "SERVICE [-- COMMAND]", **dict.fromkeys(("up", "plan", "logs"), "[SERVICE...]")}

VALUES = {"port_offset": "N|auto", "set": "KEY=VALUE", "tail": "N", "repeat": "N", "ttl": "TIME", "artifacts": "DIR"}
VALUES |= {"junit": "FILE", "dotenv": "FILE"}

INDENT = 2


def summary(text: str) -> str:
    """The first sentence of a docstring, on one line, without its full stop."""
    return " ".join(text.strip().split("\n\n")[0].split()).partition(". ")[0].rstrip(".")


def overview(program: str, tasks: Mapping[str, str], columns: int) -> str:
    """Every command of a program in its group; `tasks` are docstrings by name."""
    grouped = {name for names in GROUPS.values() for name in names}
    more = tuple(name for name in tasks if name not in grouped)
    groups = {**GROUPS, "of this repository": more} if more else GROUPS
    width = max(map(len, tasks))
    text = f"Usage: {program} COMMAND [OPTIONS]\n"
    for title, names in groups.items():
        rows = [(name, summary(tasks[name])) for name in names if name in tasks]
        text += f"\n{title}:\n" + _rows(rows, width, columns)
    return text + (f"\n`{program} COMMAND --help` shows options and examples, `{program} --version` the version.\n")


def of_command(program: str, name: str, texts: Mapping[str, str], columns: int) -> str:
    """One command: usage, what it does, its options and everyone's, examples."""
    function = COMMANDS[name]
    own = [
        (it.name, it.default)
        for it in list(inspect.signature(function).parameters.values())[1:]
        if it.name not in ("service", "environment", "shell")
    ]
    usage = " ".join(filter(None, (program, name, "[OPTIONS]", WORDS.get(name, ""))))
    text = f"Usage: {usage}\n\n"
    for paragraph in inspect.cleandoc(function.__doc__ or "").split("\n\n"):
        text += "".join(f"{line}\n" for line in textwrap.wrap(" ".join(paragraph.split()), columns))
    groups = {"options": _options(own, texts), "of every command": _options(COMMON.items(), texts)}
    width = max(len(left) for rows in groups.values() for left, _ in rows)
    for title, rows in groups.items():
        text += f"\n{title}:\n" + _rows(rows, width, columns) if rows else ""
    shown = [(f"{program} {line}", said.replace("envkit ", f"{program} ")) for line, said in EXAMPLES.get(name, ())]
    return text + ("\nexamples:\n" + _rows(shown, max(len(line) for line, _ in shown), columns) if shown else "")


def _options(named: Iterable[tuple[str, Any]], texts: Mapping[str, str]) -> list[tuple[str, str]]:
    rows = []
    for name, default in named:
        short = f"-{SHORT[name]}, " if name in SHORT else ""
        value = "" if isinstance(default, bool) else f" {VALUES.get(name, name.upper())}"
        rows.append((f"{short}--{name.replace('_', '-')}{value}", texts.get(name, "")))
    return rows


def _rows(rows: Sequence[tuple[str, str]], width: int, columns: int) -> str:
    """Two columns; on a narrow terminal the second one stands below the first."""
    begin = INDENT + width + 2
    if columns - begin < 30:
        return "".join(f"{' ' * INDENT}{left}\n{_wrapped(right, 2 * INDENT + 2, columns)}" for left, right in rows)
    return "".join(
        f"{' ' * INDENT}{left:<{width}}  {_wrapped(right, begin, columns).lstrip()}" if right
        else f"{' ' * INDENT}{left}\n"
        for left, right in rows
    )  # fmt: skip


def _wrapped(text: str, indent: int, columns: int) -> str:
    lines = textwrap.wrap(text, max(20, columns - indent), break_on_hyphens=False)
    return "".join(f"{' ' * indent}{line}\n" for line in lines)
