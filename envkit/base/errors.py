"""The errors that envkit reports, each with an exit code and a next step.

EnvkitError
  UsageError            2  the command line names something that does not exist, or has options that exclude each other
  ConfigError           2  the configuration has faults (all of them are listed)
  HolderError           2  another owner has an environment of this name
  ReplacementRefused    2  `run` would replace a service or cluster with data, and --replace is not given
  EnvironmentFailed     3  something that the environment needs is not available or does not work
    EngineError         3  no container engine answers, or the engine refused a call
      EngineStopped     3  the engine answered at first, and then stopped answering
    ToolMissing         3  a program that envkit runs (kind, podman) is not installed or cannot be started
    PortTaken           3  another process or container uses a host port
    ImageUnavailable    3  none of the candidate images is available
    ServiceDied         3  a service exited while envkit waited for it, or a one-shot failed
    NotReady            3  a deadline passed before a probe succeeded
    ClusterError        3  the cluster could not be created, or refused a manifest
    StepsFailed         3  several of the above, from steps that ran in parallel
    SuiteError          3  a test suite requested something from `envkit.suite` that is not available
  NotUp                 4  the requested environment is not up
  Cancelled       130/143  SIGINT or SIGTERM
  Bug                   3  a defect in envkit
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

OK, USAGE, FAILED, NOT_UP = 0, 2, 3, 4


class EnvkitError(Exception):
    """A failure, with a message and a next step for the user and an exit code for the program."""

    exit_code = FAILED

    def __init__(self, message: str, *, hint: str = "", detail: str = "") -> None:
        """Create the error from what was expected and seen, the next step (`hint`), and output or logs (`detail`)."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.detail = detail
        self.evidence = ""
        """The folder with the evidence that envkit collected before cleanup; empty if there is no evidence."""
        self.told = False
        """Whether the output for the CI service already contains this error."""


class UsageError(EnvkitError):
    """The command line names something that does not exist, or combines options that exclude each other."""

    exit_code = USAGE


@dataclass(frozen=True)
class Fault:
    """One fault of the configuration: the file, the path inside it, and what was expected there."""

    file: str
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}: {self.path}" if self.path else self.file
        return f"{where}: {self.message}"


class ConfigError(EnvkitError):
    """The configuration has faults; `faults` lists all of them."""

    exit_code = USAGE

    def __init__(self, faults: Sequence[Fault], *, hint: str = "") -> None:
        self.faults = tuple(faults)
        count = len(self.faults)
        lines = "\n".join(f"  - {fault}" for fault in self.faults)
        super().__init__(f"the configuration has {count} fault{'s' if count != 1 else ''}:\n{lines}", hint=hint)


class HolderError(EnvkitError):
    """A part of the environment of this name has another owner: another user, state directory or checkout."""

    exit_code = USAGE
    same_home = False
    """Whether the environment's record is in the state directory that this process uses."""


class ReplacementRefused(EnvkitError):
    """`run` would replace a working service or cluster that holds data, and the user did not give `--replace`."""

    exit_code = USAGE


class EnvironmentFailed(EnvkitError):
    """Something that the environment needs is not available or does not work."""


class EngineError(EnvironmentFailed):
    """No container engine answers, or the engine refused a call."""


class EngineStopped(EngineError):
    """The engine answered at first and then stopped answering, which is the cause of all other failures."""


class ToolMissing(EnvironmentFailed):
    """A program that envkit runs is not installed or cannot be started."""


class PortTaken(EnvironmentFailed):
    """Another process or container uses a host port that the environment publishes."""


class ImageUnavailable(EnvironmentFailed):
    """None of a service's candidate images is available."""


class ServiceDied(EnvironmentFailed):
    """A service exited while envkit waited for it, or a one-shot ended with an exit code other than 0."""


class NotReady(EnvironmentFailed):
    """A deadline passed before the awaited condition was true."""


class ClusterError(EnvironmentFailed):
    """The cluster could not be created, or it refused a manifest."""


class SuiteError(EnvironmentFailed):
    """A test suite requested something from `envkit.suite` that is not available; the text ends with the next step."""

    def __str__(self) -> str:
        return f"{self.message}\nnext: {self.hint}" if self.hint else self.message


class StepsFailed(EnvironmentFailed):
    """Several steps failed in one run; `errors` maps each step's id to its error, in the order of the failures."""

    def __init__(self, errors: dict[str, EnvkitError]) -> None:
        self.errors = errors
        told = ((step, error.message.replace("\n", "\n    ")) for step, error in errors.items())
        lines = "\n".join(f"  - {step}: {message}" for step, message in told)
        hints = dict.fromkeys(error.hint for error in errors.values() if error.hint)
        details = [error.detail for error in errors.values() if error.detail]
        super().__init__(f"{len(errors)} steps failed:\n{lines}", hint="\n".join(hints), detail="\n".join(details))


class NotUp(EnvkitError):
    """The requested environment is not up."""

    exit_code = NOT_UP


class Cancelled(EnvkitError):
    """The user or CI stopped the command; `signum` is the signal, and the exit code is 128 plus `signum`."""

    def __init__(self, signum: int) -> None:
        super().__init__("cancelled" if signum == 2 else f"stopped by signal {signum}")
        self.signum = signum
        self.exit_code = 128 + signum


class Bug(EnvkitError):
    """A defect in envkit: it raised an exception of another type than `EnvkitError`. The message has that type."""
