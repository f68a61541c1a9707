"""`logs --follow`: print the new output of several services as one stream, until all of them have ended."""

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
"""Number of earlier lines of each service that are shown before its new lines, if the user requests no number."""

BACK = 10.0
"""Seconds to wait until a service that ended runs again: a restart can be slow on a busy machine."""

Line = tuple[str, str | None]
"""A service's name, and a line that it wrote; None instead of a line when the service has ended."""


def follow(
    environment: Environment,
    runtime: FullRuntime,
    control: Control,
    up_command: str,
    names: Sequence[str],
    tail: int | None,
    write: Callable[[str, str], None],
) -> None:
    """Call `write` for every line, with the service's name first.

    Raises `Cancelled` on Ctrl-C, and `NotUp` if a named service does not exist, or if no service exists.
    """
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
    """Put the lines of one service into the queue, also after restarts. The thread can run until the process ends."""
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
    """Wait until the service runs again, at most `BACK` seconds; return its last observed state."""
    deadline = time.monotonic() + BACK
    while not instance.running and time.monotonic() < deadline:
        time.sleep(0.1)
        found = {it.service: it for it in runtime.observe(environment.name)}
        instance = found.get(instance.service, instance)
    return instance
