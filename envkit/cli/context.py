"""Opens an environment for a command from its flags: configuration, lane, event sinks, signals."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Any

from envkit.base.paths import Paths, cache_home, state_home
from envkit.base.registry import runs_processes
from envkit.cli.flags import Flags

if TYPE_CHECKING:
    from envkit.base.caller import Caller
    from envkit.base.control import Control
    from envkit.base.errors import EnvironmentFailed
    from envkit.base.events import Event, Stream
    from envkit.base.waiting import Cancel
    from envkit.config.load import Request
    from envkit.config.models import Environment
    from envkit.inventory.drivers import Drivers
    from envkit.inventory.state import Record
    from envkit.operations.port_placement import Placement


DOWN_WAITS = 60.0
"""Longest time in seconds that `down` waits until an `up` in another terminal ends."""


@dataclass(frozen=True)
class Opened:
    """An environment opened for one command. A verb takes from it the values that its operation needs."""

    environment: Environment
    paths: Paths
    drivers: Drivers
    control: Control
    placement: Placement
    up_command: str = "up"
    """The command line that brings this environment up. Hints of errors show it."""
    asked: Mapping[str, str] = field(default_factory=dict)
    """The options that selected the environment, as `config.request.Request.asked` returns them."""

    @property
    def caller(self) -> Caller:
        """Return the caller's environment variables and cache folder."""
        return self.drivers.caller


@contextmanager
def opened(flags: Flags, *, alone: bool = False) -> Iterator[Opened]:
    """Yield an environment that is opened for one command. At the end, close the live view and end helper processes.

    With `alone`, show no events and do not handle signals. The supervisor of a run uses it.
    """
    from envkit.base.caller import Caller
    from envkit.base.control import Control
    from envkit.base.events import Stream
    from envkit.base.waiting import Cancel
    from envkit.config.load import load
    from envkit.drivers.lanes import open_lane
    from envkit.inventory.drivers import Drivers
    from envkit.operations.port_placement import Placement

    request = flags.request()
    environment: Environment = load(request)
    sink = Silent() if alone else sink_for(flags)
    control = Control(Cancel(), Stream([sink]))
    environ = dict(flags.environ)
    caller = Caller(environ, cache_home(environ))
    paths = Paths(state_home(environ), environment.name)
    environment = keep_recorded_choices(environment, paths, moved=request.port_offset is not None)
    own_signals = nullcontext() if alone else signals(control.cancel)
    try:
        with own_signals, open_lane(environment, caller.environ, paths, control.stream) as lane:
            settled = lane.environment
            yield Opened(
                settled,
                paths,
                Drivers(settled, paths, lane.choice.lane, lane.address, caller, control.cancel, lane.choice.why),
                control,
                Placement(frozenset(environment.fixed_ports()), lane.settle),
                flags.command("up"),
                request.asked(),
            )
    finally:
        sink.close()


@contextmanager
def opened_if_possible(flags: Flags) -> Iterator[tuple[Opened, EnvironmentFailed | None]]:
    """Yield an opened environment and None. If the engine or a tool is missing, yield the error instead of None.

    In the case of an error, the drivers of the environment cannot run anything.
    """
    from envkit.base.caller import Caller
    from envkit.base.control import Control
    from envkit.base.errors import EnvironmentFailed
    from envkit.base.events import Stream
    from envkit.base.waiting import Cancel
    from envkit.config.load import load
    from envkit.inventory.drivers import Drivers
    from envkit.operations.port_placement import Placement

    with ExitStack() as stack:
        trouble: EnvironmentFailed | None = None
        try:
            found = stack.enter_context(opened(flags))
        except EnvironmentFailed as error:
            trouble = error
        if trouble is None:
            yield found, None
            return
        environment = load(flags.request())
        environ = dict(flags.environ)
        paths, sink = Paths(state_home(environ), environment.name), sink_for(flags)
        stack.callback(sink.close)
        control = Control(Cancel(), Stream([sink]))
        stack.enter_context(signals(control.cancel))
        drivers = Drivers(environment, paths, "unknown", None, Caller(environ, cache_home(environ)), control.cancel)
        yield Opened(environment, paths, drivers, control, Placement()), trouble


def keep_recorded_choices(environment: Environment, paths: Paths, *, moved: bool) -> Environment:
    """Return the environment with the recorded lane, engine and port offset, unless the user has chosen others.

    Users therefore do not have to repeat the options of the last `up`. Raises `HolderError` if the environment is up in
    another place than the requested one.
    """
    from envkit.drivers.lanes import lane_fits
    from envkit.inventory import state
    from envkit.operations.state_checks import check_place

    record = state.read(paths)
    if record is None:
        return environment.model_copy(update={"port_offset": offset_of(environment, paths, None, moved=moved)})
    check_place(environment, record)
    kept: dict[str, Any] = {}
    same_engine = environment.engine in ("auto", record.engine)
    fits = lane_fits(record.lane, environment)
    if environment.lane == "auto" and same_engine and fits and record.lane:
        kept["lane"] = record.lane
    if environment.engine == "auto" and record.engine and not runs_processes(environment.lane):
        kept["engine"] = record.engine
    kept["port_offset"] = offset_of(environment, paths, record, moved=moved)
    return environment.model_copy(update=kept)


def offset_of(environment: Environment, paths: Paths, record: Record | None, *, moved: bool) -> int:
    """Return the port offset of an environment that is up, or the offset that the next `up` would use.

    An environment that is up keeps its offset unless another number is given. Remains of a failed `up --keep` have no
    record; they keep the offset that was chosen for them.
    """
    from envkit.inventory import offsets

    if record and (environment.offset_auto or (environment.port_offset == 0 and not moved)):
        return record.port_offset
    if environment.offset_auto:
        return offsets.proposed(paths, environment.checkout, environment.fixed_ports())
    left = not record and not moved and environment.port_offset == 0 and paths.folder.exists()
    return (offsets.known(paths, environment.checkout) if left else None) or environment.port_offset


def run_down(flags: Flags, force: bool = False, *, alone: bool = False) -> tuple[str, list[str]]:
    """Remove the environment, and return its name and the names of what was removed.

    This function needs only the environment's name, so it works without an engine and with a broken configuration. A
    signal ends the wait for another envkit, but not a removal that has begun.
    """
    from envkit.base.events import Stream
    from envkit.base.owner import claim
    from envkit.base.waiting import Cancel
    from envkit.config.load import identify
    from envkit.operations.locking import locked
    from envkit.operations.remove import down, held_by

    environ = dict(flags.environ)
    request = flags.request()
    identified = identify(request)
    paths = Paths(state_home(environ), identified.name)
    sink = Silent() if alone else sink_for(flags)
    stream = Stream([sink])
    asks = claim(paths.home, identified.checkout, str(identified.root), held_by(paths), force=force)
    try:
        cancel = Cancel()
        with (
            nullcontext() if alone else signals(cancel),
            locked(paths, DOWN_WAITS, stream, cancel),
            _engines(request, environ, paths, stream) as extra,
        ):
            return paths.name, down(paths.name, paths, request.engine or "auto", extra, stream.note, asks)
    finally:
        sink.close()


@contextmanager
def _engines(request: Request, environ: Mapping[str, str], paths: Paths, stream: Stream) -> Iterator[Mapping[str, str]]:
    """Yield the caller's variables, with the address of Podman's service if it must be started for the removal.

    An environment of processes needs no engine.
    """
    from envkit.drivers.engine.podman_service import serving
    from envkit.operations.remove import on_processes_alone

    if runs_processes(request.lane or "") or on_processes_alone(paths):
        yield environ
        return
    with serving(request.engine or "auto", environ, paths, stream) as extra:
        yield extra


class Silent:
    """An event sink that shows nothing."""

    def __call__(self, event: Event) -> None:
        """Ignore the event."""

    def close(self) -> None:
        """Do nothing."""


def sink_for(flags: Flags) -> Any:
    """Return the event sink for the output: JSON lines, a live view on a terminal, or plain lines."""
    if flags.json:
        from envkit.report.lines import JsonLines

        return JsonLines()
    from envkit.cli.terminal import moves

    if moves(sys.stderr, flags.environ) and not (flags.ci or flags.environ.get("CI")):
        from envkit.report.live import LiveView

        return LiveView()
    from envkit.report.plain import Plain

    return Plain()


@contextmanager
def signals(cancel: Cancel) -> Iterator[None]:
    """Make Ctrl-C, SIGTERM and SIGHUP cancel the command. It then undoes in order what it has begun."""

    def stop(signum: int, _frame: FrameType | None) -> None:
        cancel.set(signum)

    before = {signum: signal.signal(signum, stop) for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextmanager
def opened_machine(flags: Flags) -> Iterator[tuple[Stream, Cancel, Mapping[str, str]]]:
    """Yield the event stream, the cancellation and the engines' variables, for commands about the whole machine.

    No configuration is loaded.
    """
    from envkit.base.events import Stream
    from envkit.base.waiting import Cancel
    from envkit.drivers.engine.podman_service import serving

    environ = dict(flags.environ)
    sink = sink_for(flags)
    stream, cancel = Stream([sink]), Cancel()
    try:
        with signals(cancel), serving("auto", environ, Paths(state_home(environ), "any"), stream) as reached:
            yield stream, cancel, reached
    finally:
        sink.close()
