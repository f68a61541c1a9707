"""Run the plan's steps in parallel, in the order of the graph. Each step has a thread, because the SDKs block."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter

from envkit.base.errors import Bug, Cancelled, EngineStopped, EnvkitError, StepsFailed
from envkit.base.events import Kind, Stream
from envkit.base.waiting import Aborted, Cancel
from envkit.planning.plan import Plan, Step

JOBS = 12
"""Maximum number of parallel steps. No profile has so many, and steps mostly wait and compute little."""

Do = Callable[[Step, Callable[[str], None], Cancel], str]
"""A function that performs one step and returns a message about the result. It raises `EnvkitError`."""


def run(plan: Plan, do: Do, stream: Stream, cancel: Cancel, jobs: int = JOBS) -> dict[str, float]:
    """Run the plan and return the duration of each step, in seconds, by step id.

    At the first failure the function stops all other steps and waits for them. It then raises the error of the step,
    or `StepsFailed` if several steps failed. After a signal it raises `Cancelled` instead, and if
    the engine stopped answering, only `EngineStopped`.
    """
    steps = {step.id: step for step in plan.steps}
    sorter = TopologicalSorter({step.id: [need for need in step.needs if need in steps] for step in plan.steps})
    sorter.prepare()
    times: dict[str, float] = {}
    errors: dict[str, EnvkitError] = {}
    with cancel.cutting(), ThreadPoolExecutor(jobs, thread_name_prefix="step") as pool:
        running: dict[Future[float], str] = {}
        while (sorter.is_active() and not cancel.event.is_set()) or running:
            if not cancel.event.is_set():
                for identity in sorter.get_ready():
                    running[pool.submit(_one, steps[identity], do, stream, cancel)] = identity
            finished, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in finished:
                identity = running.pop(future)
                error = future.exception()
                if error is None:
                    times[identity] = future.result()
                    sorter.done(identity)
                elif isinstance(error, EnvkitError):
                    errors[identity] = error
                else:
                    errors[identity] = _bug(identity, error)
                if error is not None:
                    cancel.abort()
    _raise(errors, cancel)
    if len(times) < len(steps):
        cancel.check()  # after a request to stop, an incomplete run is not a success
    return times


def _one(step: Step, do: Do, stream: Stream, cancel: Cancel) -> float:
    began = time.monotonic()
    if not step.changes:
        stream.emit(Kind.KEPT, step.id, step.reason, 0.0)
        return 0.0
    stream.emit(Kind.STARTED, step.id, f"{step.action}: {step.reason}")
    try:
        cancel.check()
        said = do(step, stream.reporter(step.id), cancel)
    except (Aborted, Cancelled) as error:
        stream.emit(Kind.SKIPPED, step.id, error.message, time.monotonic() - began)
        raise
    except Exception as error:
        cancel.abort()
        stream.emit(Kind.FAILED, step.id, getattr(error, "message", repr(error)), time.monotonic() - began)
        raise
    took = time.monotonic() - began
    stream.emit(Kind.DONE, step.id, said, took)
    return took


def _bug(identity: str, error: BaseException) -> EnvkitError:
    wrapped = Bug(
        f"step {identity} met an error that envkit did not expect: {error!r}", hint="run it again with --debug"
    )
    wrapped.__cause__ = error
    return wrapped


def _raise(errors: dict[str, EnvkitError], cancel: Cancel) -> None:
    real = {step: error for step, error in errors.items() if not isinstance(error, Aborted | Cancelled)}
    if cancel.signum:
        raise Cancelled(cancel.signum)
    stopped = next((error for error in real.values() if isinstance(error, EngineStopped)), None)
    if stopped:  # this error is the cause of all other failures
        raise stopped
    if len(real) == 1:
        step, error = real.popitem()
        error.message = f"{step}: {error.message}" if not error.message.startswith(step) else error.message
        raise error
    if real:
        raise StepsFailed(real)
