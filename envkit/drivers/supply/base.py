"""The seam of supplies: what services are started from, an engine's images or programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from envkit.base.waiting import Cancel
from envkit.config.models import Service
from envkit.drivers.supply.details import Details

if TYPE_CHECKING:
    from envkit.drivers.supply.programs import Program


class Supply(Protocol):
    """What services are started from: an engine's images, or programs."""

    def ids(self, references: Sequence[str]) -> Mapping[str, str]:
        """Return the identities of those that are here."""

    def id_of(self, reference: str) -> str:
        """Return the identity, or an empty text when it is not here."""

    def lacks(self, service: Service, reference: str) -> str:
        """Return why the service cannot be started from what is here, or an empty text."""

    def pull_first(
        self, candidates: Sequence[str], platform: str | None, report: Callable[[str], None], cancel: Cancel
    ) -> str:
        """Have the first candidate that can be had; return its name here. Raises `ImageUnavailable`."""

    def details(self, reference: str) -> Details:
        """Return what is known of one that is here."""


class BuildsImages(Protocol):
    """A supply that can build."""

    def build(self, recipe: Any, marks: Mapping[str, str], report: Callable[[str], None], cancel: Cancel) -> str:
        """Build it; return its name. Raises `ImageUnavailable`."""


class KnowsSources(Protocol):
    """A supply that can tell where what runs comes from."""

    def source_of(self, reference: str) -> str:
        """Return version and source, or an empty text when it is not here."""

    def folders_of(self, reference: str) -> list[str]:
        """Return the folders of its programs."""


class HasPrograms(Protocol):
    """A supply of programs of this host."""

    services: Mapping[str, Service]

    def found(self, reference: str) -> Program:
        """Return the programs. Raises `EnvironmentFailed` when they are not here."""
