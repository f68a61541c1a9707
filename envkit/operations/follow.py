"""`logs --follow`: several services' output as it comes, in one stream, until all have ended."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence

from envkit.base.control import Control
from envkit.base.errors import EnvkitError
from envkit.base.events import Stream
from envkit.config.models import Environment
from envkit.drivers.runtimes.base import FullRuntime
from envkit.drivers.runtimes.following import Place
from envkit.operations.services import instances
from envkit.planning.facts import Instance

LAST = 20
"""Lines of each service that are shown before what is new."""

BACK = 10.0
"""Seconds for a service that ended to be back: it is being restarted, on a machine that may be busy."""

Line = tuple[str, str | None]
"""A service and what it wrote; None when it has ended."""


def follow(
    environment: Environment,
    runtime: FullRuntime,
    control: Control,
    up_command: str,
    names: Sequence[str],
    tail: int | None,
    write: Callable[[str, str], None],
) -> None:
    """Hand every line to `write`, with its service's name. Raises `Cancelled` on Ctrl-C, `NotUp` when none is there."""
    found = instances(environment, runtime, up_command, names)
    lines: queue.Queue[Line] = queue.Queue()
    for instance in found.values():
        begun = (environment, runtime, control.stream, instance, LAST if tail is None else tail, lines)
        threading.Thread(target=_read, args=begun, daemon=True, name=f"follow {instance.service}").start()
    going = set(found)
    while going:
        control.cancel.check()
        try:
            name, line = lines.get(timeout=0.2)
        except queue.Empty:
            continue
        if line is None:
            going.discard(name)
        else:
            write(name, line)


def _read(
    environment: Environment,
    runtime: FullRuntime,
    stream: Stream,
    instance: Instance,
    tail: int,
    lines: queue.Queue[Line],
) -> None:
    """One service, through its restarts, in a thread that is left behind when the command ends."""
    name, place = instance.service, Place()
    try:
        while True:
            for line in runtime.follow(instance, tail, place):
                lines.put((name, line))
            now = runtime.look(instance)
            if instance.running:
                now = _again(environment, runtime, now)
            if not now.running:
                stream.note(f"{name} {now.death()}")
                return
            instance = now
    except EnvkitError as error:
        stream.note(f"{name}: {error.message}")
    finally:
        lines.put((name, None))


def _again(environment: Environment, runtime: FullRuntime, instance: Instance) -> Instance:
    """The service as it is when it runs again, or in the end."""
    deadline = time.monotonic() + BACK
    while not instance.running and time.monotonic() < deadline:
        time.sleep(0.1)
        found = {it.service: it for it in runtime.observe(environment.name)}
        instance = found.get(instance.service, instance)
    return instance
