"""Every failure envkit reports, with its exit code and a next step.

EnvkitError
  UsageError            2  the command line asks for something that does not exist
  ConfigError           2  the configuration has faults (all of them are listed)
  HolderError           2  somebody else holds an environment of this name
  ReplacementRefused    2  `run` would replace what holds data, without --replace
  EnvironmentFailed     3  something the environment needs could not be had or did not work
    EngineError         3  no container engine answers, or it refused a call
      EngineStopped     3  the engine answered, and stopped answering in the middle of the work
    ToolMissing         3  a program envkit drives (kind, podman) is not installed
    PortTaken           3  somebody else holds a host port
    ImageUnavailable    3  no candidate image can be had
    ServiceDied         3  a service exited while envkit waited for it, or a one-shot failed
    NotReady            3  a deadline passed before a probe was satisfied
    ClusterError        3  the cluster could not be made, or refused a manifest
    StepsFailed         3  several of the above, from steps that ran in parallel
    SuiteError          3  what a test suite asked `envkit.suite` for cannot be had
  NotUp                 4  the environment asked for is not up
  Cancelled       130/143  SIGINT or SIGTERM
  Bug                   3  envkit's own fault
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

OK, USAGE, FAILED, NOT_UP = 0, 2, 3, 4


class EnvkitError(Exception):
    """A failure with a message for people, a next step, and the exit code it ends the program with."""

    exit_code = FAILED

    def __init__(self, message: str, *, hint: str = "", detail: str = "") -> None:
        """`message` says what was expected and seen, `hint` what to do next, `detail` carries output or log lines."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.detail = detail
        self.evidence = ""
        """The folder with everything that was gathered before the failure was cleared away, if that was done."""
        self.told = False
        """Whether it has been shown already, as a CI service wants it shown."""


class UsageError(EnvkitError):
    """The command line names something that does not exist or does not go together."""

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
    """The configuration cannot be used; `faults` lists everything that is wrong with it."""

    exit_code = USAGE

    def __init__(self, faults: Sequence[Fault], *, hint: str = "") -> None:
        self.faults = tuple(faults)
        count = len(self.faults)
        lines = "\n".join(f"  - {fault}" for fault in self.faults)
        super().__init__(f"the configuration has {count} fault{'s' if count != 1 else ''}:\n{lines}", hint=hint)


class HolderError(EnvkitError):
    """Something of the environment of this name belongs to somebody else: user, state directory or checkout."""

    exit_code = USAGE
    same_home = False
    """Whether its record is in the state directory of whoever asks."""


class ReplacementRefused(EnvkitError):
    """`run` would replace a service or a cluster that works and holds data, and `--replace` was not given."""

    exit_code = USAGE


class EnvironmentFailed(EnvkitError):
    """Something that the environment needs could not be had or did not work."""


class EngineError(EnvironmentFailed):
    """No container engine answers, or the engine refused a call."""


class EngineStopped(EngineError):
    """The engine answered when the work began and answers no more: whatever else failed, failed because of that."""


class ToolMissing(EnvironmentFailed):
    """A program that envkit drives is not installed."""


class PortTaken(EnvironmentFailed):
    """A host port that the environment publishes is held by somebody else."""


class ImageUnavailable(EnvironmentFailed):
    """None of a service's candidate images can be had."""


class ServiceDied(EnvironmentFailed):
    """A service exited while it was waited for, or a one-shot ended with a code other than 0."""


class NotReady(EnvironmentFailed):
    """A deadline passed before the thing waited for was true."""


class ClusterError(EnvironmentFailed):
    """The cluster could not be made, or it refused what was to be applied."""


class SuiteError(EnvironmentFailed):
    """What a test suite asked `envkit.suite` for cannot be had; its text ends with the next step."""

    def __str__(self) -> str:
        return f"{self.message}\nnext: {self.hint}" if self.hint else self.message


class StepsFailed(EnvironmentFailed):
    """Several steps failed in one run; `errors` maps the step's id to its error, first failure first."""

    def __init__(self, errors: dict[str, EnvkitError]) -> None:
        self.errors = errors
        told = ((step, error.message.replace("\n", "\n    ")) for step, error in errors.items())
        lines = "\n".join(f"  - {step}: {message}" for step, message in told)
        hints = dict.fromkeys(error.hint for error in errors.values() if error.hint)
        details = [error.detail for error in errors.values() if error.detail]
        super().__init__(f"{len(errors)} steps failed:\n{lines}", hint="\n".join(hints), detail="\n".join(details))


class NotUp(EnvkitError):
    """The environment asked for is not up."""

    exit_code = NOT_UP


class Cancelled(EnvkitError):
    """The user or CI asked to stop; `signum` is the signal, and 128 plus it the exit code."""

    def __init__(self, signum: int) -> None:
        super().__init__("cancelled" if signum == 2 else f"stopped by signal {signum}")
        self.signum = signum
        self.exit_code = 128 + signum


class Bug(EnvkitError):
    """Something raised what is not an `EnvkitError`: envkit's own fault, shown with its type."""
