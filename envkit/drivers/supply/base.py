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
        """Return the identity of each image or program that this host has; leave out the others."""

    def id_of(self, reference: str) -> str:
        """Return the identity of the image or program, or an empty string if this host does not have it."""

    def lacks(self, service: Service, reference: str) -> str:
        """Return why the service cannot be started from this image or program, or an empty string if it can."""

    def pull_first(
        self, candidates: Sequence[str], platform: str | None, report: Callable[[str], None], cancel: Cancel
    ) -> str:
        """Pull or fetch the first available candidate and return the local name of that image or program.

        Raises `ImageUnavailable` or another `EnvironmentFailed`.
        """

    def details(self, reference: str) -> Details:
        """Return the details of an image or program that this host has."""


class BuildsImages(Protocol):
    """A supply that can build images."""

    def build(self, recipe: Any, marks: Mapping[str, str], report: Callable[[str], None], cancel: Cancel) -> str:
        """Build the recipe's image and return the image's name. Raises `ImageUnavailable`."""


class KnowsSources(Protocol):
    """A supply that can name the source of its programs."""

    def source_of(self, reference: str) -> str:
        """Return the version and the source of the programs, or an empty string if this host does not have them."""

    def folders_of(self, reference: str) -> list[str]:
        """Return the folders of the programs."""


class HasPrograms(Protocol):
    """A supply of programs that run on this host."""

    services: Mapping[str, Service]

    def found(self, reference: str) -> Program:
        """Return the programs of the reference. Raises `EnvironmentFailed` if this host does not have them."""
