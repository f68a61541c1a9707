"""The interface of probes: data from the configuration, and a method that checks once whether a service works.

Each kind of probe is a module with a `PROBE`, a subclass of `ProbeModel`, registered in `base.registry.PROBES`;
`config.models` combines these classes into the type of the key `probe`. This module does not postpone its annotations,
because pydantic would compile each of them again at every start.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from envkit.base.deadline import Deadline
from envkit.config.fields import Model


class Target(Protocol):
    """How a probe reaches a service from the host: its address, its ports and commands; see `drivers.probes.Target`."""

    @property
    def host(self) -> str:
        """The address, usually 127.0.0.1."""

    @property
    def port(self) -> Callable[[str], int]:
        """A function that returns the host port for a port's name; an empty name means the first port."""

    @property
    def execute(self) -> Callable[[tuple[str, ...]], tuple[int, str]]:
        """A function that runs a command beside the service and returns its exit code and output."""

    @property
    def cancel(self) -> Any:
        """The `base.waiting.Cancel` that ends an attempt, or None if nothing can cancel it."""

    def deadline(self) -> Deadline:
        """Return the deadline of an attempt that begins now."""


class ProbeModel(Model):
    """Base class of the kinds of probes.

    `costly` is true if an attempt is noticeable work for the service or this host. `takes_migrations` is true if the
    probe has the login data for PostgreSQL that migrations need.
    """

    type: str
    costly: ClassVar[bool] = False
    takes_migrations: ClassVar[bool] = False

    def attempt(self, target: Target) -> str | None:
        """Check the service once; return None if it works, else a text that says what the probe found.

        The method also returns a text, and does not raise, for a refused connection or a missing or invalid answer.
        """
        raise NotImplementedError

    def describe(self, target: Target) -> str:
        """Return what the probe expects, for the message of a failed wait."""
        raise NotImplementedError
