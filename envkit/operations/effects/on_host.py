"""Run one-shots on this host: database migrations over TCP, and commands."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from envkit.base import labels
from envkit.base.commands import CommandFailed, run
from envkit.base.deadline import Deadline
from envkit.base.errors import ServiceDied
from envkit.base.paths import Paths, write_private
from envkit.base.waiting import Cancel
from envkit.config.models import Environment
from envkit.config.shipped import migrations_folder
from envkit.drivers.databases import baseline
from envkit.drivers.databases.migrations import migrate, read
from envkit.drivers.databases.template import keep
from envkit.inventory.drivers import Drivers
from envkit.inventory.probing import Prober, chosen_ports
from envkit.planning import desired
from envkit.planning.facts import Instance
from envkit.planning.plan import Want

if TYPE_CHECKING:
    from envkit.drivers.databases.login import Login


def migrations(
    prober: Prober, want: Want, instances: Mapping[str, Instance], report: Callable[[str], None], cancel: Cancel
) -> str:
    """Apply a folder of migrations to the database of a service; return a text about the result.

    Raises `ServiceDied` with the name of the migration file that failed.
    """
    wanted = want.service.migrations
    assert wanted is not None
    instance = instances[wanted.service]
    database = prober.resolved(wanted.service, {wanted.service: instance})
    assert database.probe and database.probe.takes_migrations  # the loader refuses any other configuration
    login = cast("Login", database.probe)
    host, port = prober.address(database, instance)
    folder = migrations_folder(wanted.folder)
    end = Deadline(want.service.timeout, cancel)
    applied = migrate(folder, login, host, port, end, report)
    fresh = len(applied) == len(read(folder))
    keep(folder, login, host, port, end, report, fresh=fresh)
    baseline.note(baseline.Place(login, host, port), report)
    return f"{len(applied)} migrations applied" if applied else "nothing to apply"


def command(
    environment: Environment,
    paths: Paths,
    drivers: Drivers,
    environ: Mapping[str, str],
    want: Want,
    instances: Mapping[str, Instance],
    report: Callable[[str], None],
    cancel: Cancel,
) -> str:
    """Run a command on the host with the service's variables; return a text about the result.

    Raises `ServiceDied` with the end of the command's output if the command fails.
    """
    ports = chosen_ports(environment, instances)
    service = desired.resolve_for_host(environment, want.name, paths, ports)
    began = time.monotonic()
    log = paths.folder / "logs" / f"{want.name}.log"
    try:
        finished = run(
            service.host_command or (), seconds=service.timeout, cancel=cancel, cwd=environment.root,
            env={**environ, **service.env}, on_line=report,
            marker=labels.marks_of(environment.name, drivers.claim.owner),
        )  # fmt: skip
    except CommandFailed as error:
        raise ServiceDied(
            f"{want.name}: {error.message}", detail=error.output[-3000:], hint="its last lines above say why"
        ) from error
    _save(log, finished.output)
    return f"ended with 0 after {time.monotonic() - began:.1f} s"


def _save(path: Path, text: str) -> None:
    write_private(path, text)
