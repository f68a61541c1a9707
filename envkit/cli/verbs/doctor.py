"""The command `doctor`: print the findings of the checks, and with `--fix` repair what belongs to the user."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from envkit.base.errors import FAILED, EnvkitError
from envkit.base.paths import Paths, cache_home, state_home
from envkit.cli.context import offset_of
from envkit.cli.flags import Flags, program
from envkit.cli.output import confirmed, out
from envkit.cli.terminal import edge, table
from envkit.cli.verb import MACHINE, Verb

if TYPE_CHECKING:
    from envkit.doctor.examine import Examined
    from envkit.doctor.finding import Finding
    from envkit.doctor.host import Host
    from envkit.doctor.network_checks import Ports

MARKS = {"ok": "ok", "warning": "WARNING", "lacking": "LACKING"}


def doctor(flags: Flags, fix: bool = False, yes: bool = False) -> int:
    """Show what this host has and lacks for each lane, with remedies. Exits with 3 if no lane can be used.

    With --lane only that lane counts. `--fix` repairs what belongs to you.
    """
    host = _host(flags)
    examined = _examine(host, flags)
    if not flags.json or not fix:
        _show(examined, flags)
    if fix:
        mended = _mend(examined.findings, yes or not any(found.fix for found in examined.findings), flags)
        if mended:
            examined = _examine(_host(flags), flags)
        if flags.json:
            _show(examined, flags, mended)
    return 0 if examined.usable(flags.lane or str(flags.environ.get("ENVKIT_LANE") or "auto")) else FAILED


def _host(flags: Flags) -> Host:
    from envkit.doctor.host import Host

    environ = dict(flags.environ)
    return Host(environ, state_home(environ), cache_home(environ))


def _examine(host: Host, flags: Flags) -> Examined:
    from envkit.doctor.credentials import Credentials
    from envkit.doctor.examine import examine, registered

    ports = _ports(flags)
    return examine(host, (*registered(), ("ports", ports), ("credentials", Credentials(ports.environment))))


def _ports(flags: Flags) -> Ports:
    """Return the check of the ports that `up` would use here. A faulty configuration becomes a finding."""
    from envkit.config.load import load
    from envkit.doctor.network_checks import Ports
    from envkit.inventory import state

    try:
        environment = load(flags.request())
    except EnvkitError as error:
        return Ports(None, error.message)
    paths = Paths(state_home(dict(flags.environ)), environment.name)
    record = state.read(paths)
    offset = offset_of(environment, paths, record, moved=flags.request().port_offset is not None)
    environment = environment.model_copy(update={"port_offset": offset})
    return Ports(environment, ours=frozenset(record.ports.values() if record else ()))


def _show(examined: Examined, flags: Flags, mended: Iterable[str] = ()) -> None:
    if flags.json:
        lanes = {lane: {"usable": not why, "lacking": [it.name for it in why]} for lane, why in examined.lanes.items()}
        body = {"lanes": lanes, "findings": [_data(found) for found in examined.findings], "fixed": list(mended)}
        out(json.dumps(body, indent=2) + "\n")
        return
    rows = []
    for found in examined.findings:
        rows.append((MARKS[found.state], found.name, found.seen))
        if found.state != "ok" and found.remedy:
            rows.append(("", "", f"-> {found.remedy}"))
    out(table(rows, edge(flags.environ)))
    _lanes(examined)
    commands = [line for found in examined.findings if found.state != "ok" for line in found.as_root]
    if commands:
        out("\nas root:\n" + "".join(f"  {line}\n" for line in commands))
    if any(found.fixable for found in examined.findings):
        out(f"\n`{program()} doctor --fix` repairs what belongs to you\n")


def _lanes(examined: Examined) -> None:
    out("\n")
    for lane, why in examined.lanes.items():
        out(f"lane {lane:<10} {'cannot be used: ' + ', '.join(it.name for it in why) if why else 'can be used'}\n")


def _data(found: Finding) -> dict[str, Any]:
    return {
        "name": found.name, "lanes": list(found.lanes), "state": found.state, "seen": found.seen,
        "remedy": found.remedy, "as_root": list(found.as_root), "fixable": found.fixable,
    }  # fmt: skip


def _mend(findings: Iterable[Finding], yes: bool, flags: Flags) -> list[str]:
    """Apply the possible repairs after asking, and return the result of each."""
    import sys

    fixes = [found.fix for found in findings if found.fix]
    say = sys.stderr.write if flags.json else out
    if not fixes:
        say("\nnothing to repair here\n")
        return []
    say("\n" + "".join(f"would {fix.what}\n" for fix in fixes))
    if not confirmed("do this?", yes):
        return []
    done = []
    for fix in fixes:
        try:
            done.append(f"{fix.what}: {fix.do()}")
        except EnvkitError as error:
            done.append(f"{fix.what}: failed: {error.message}")
        say(done[-1] + "\n")
    return done


VERB = Verb(
    doctor,
    MACHINE,
    (
        ("doctor", "check every lane"),
        ("doctor --lane containers", "exits with 3 if this lane cannot be used"),
        ("doctor --fix --yes", "repair what belongs to you, without asking"),
    ),
    help={
        "fix": "repair what belongs to you, after asking",
    },
)
