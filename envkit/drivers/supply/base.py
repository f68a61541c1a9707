"""The interface of supplies. A supply provides the images or the programs from which envkit starts services."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from envkit.base.waiting import Cancel
from envkit.config.models import Service
from envkit.drivers.supply.details import Details

if TYPE_CHECKING:
    from envkit.drivers.supply.programs import Program


class Supply(Protocol):
    """Provides the images of an engine, or the programs of the host, from which envkit starts services."""

    def ids(self, references: Sequence[str]) -> Mapping[str, str]:
        """Return the identity of each reference that is here; leave out the others."""

    def id_of(self, reference: str) -> str:
        """Return the identity of the image or program, or an empty string if it is not here."""

    def lacks(self, service: Service, reference: str) -> str:
        """Return why the service cannot be started from this image or program, or an empty string if it can."""

    def pull_first(
        self, candidates: Sequence[str], platform: str | None, report: Callable[[str], None], cancel: Cancel
    ) -> str:
        """Pull or fetch the first candidate that is available; return its local name. Raises `ImageUnavailable`."""

    def details(self, reference: str) -> Details:
        """Return the details of an image or program that is here."""


class BuildsImages(Protocol):
    """A supply that can build images."""

    def build(self, recipe: Any, marks: Mapping[str, str], report: Callable[[str], None], cancel: Cancel) -> str:
        """Build the recipe's image and return its name. Raises `ImageUnavailable`."""


class KnowsSources(Protocol):
    """A supply that can name the source of its programs."""

    def source_of(self, reference: str) -> str:
        """Return version and source of the programs, or an empty string if they are not here."""

    def folders_of(self, reference: str) -> list[str]:
        """Return the folders of the programs."""


class HasPrograms(Protocol):
    """A supply of this host's programs."""

    services: Mapping[str, Service]

    def found(self, reference: str) -> Program:
        """Return the programs of the reference. Raises `EnvironmentFailed` if they are not here."""
