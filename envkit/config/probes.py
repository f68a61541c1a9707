"""What a probe is: data in a configuration, and one attempt that tells whether a service works.

Each kind of probe is a module with a `PROBE`, a class made from `ProbeModel`, registered in `base.registry.PROBES`;
`config.models` makes the type of the configuration from them.
Annotations are not postponed here: pydantic would compile each of them once more, at every start.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from envkit.base.deadline import Deadline
from envkit.config.fields import Model


class Target(Protocol):
    """Where a service is, as seen from the host; see `drivers.probes.Target`."""

    @property
    def host(self) -> str:
        """The address, 127.0.0.1 as a rule."""

    @property
    def port(self) -> Callable[[str], int]:
        """Returns the host port of a named port; the first one for an empty name."""

    @property
    def execute(self) -> Callable[[tuple[str, ...]], tuple[int, str]]:
        """Runs a command beside the service; returns its exit code and output."""

    @property
    def cancel(self) -> Any:
        """Ends an attempt when it is set; None for nothing that could."""

    def deadline(self) -> Deadline:
        """Return the end of an attempt that begins now."""


class ProbeModel(Model):
    """One kind of probe.

    `costly`: an attempt takes the service or this host noticeable work. `takes_migrations`: it says how to log in to
    PostgreSQL.
    """

    type: str
    costly: ClassVar[bool] = False
    takes_migrations: ClassVar[bool] = False

    def attempt(self, target: Target) -> str | None:
        """Ask once; return None when satisfied, else what was seen.

        Never raises for what a probe may meet: a refusal, silence and nonsense are answers.
        """
        raise NotImplementedError

    def describe(self, target: Target) -> str:
        """Return what the probe expects, for the message of a wait that failed."""
        raise NotImplementedError
