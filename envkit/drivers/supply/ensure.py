"""Pulls or builds the image of a service: it builds the image if no candidate can be pulled.

Before a build it pulls the base images that are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from envkit.base import labels
from envkit.base.abilities import able
from envkit.base.errors import ImageUnavailable
from envkit.base.waiting import Cancel
from envkit.drivers.supply.base import BuildsImages, Supply
from envkit.planning.plan import Want

if TYPE_CHECKING:
    from envkit.drivers.supply.build import Recipe

Report = Callable[[str], None]


def ensure_image(
    images: Supply, recipes: Mapping[str, Recipe], want: Want, report: Report, cancel: Cancel, *,
    rebuild: bool = False,
) -> tuple[str, str]:  # fmt: skip
    """Pull or build the image of a service, or fetch the service's program.

    Returns the local name of the image or program, and how envkit got it.

    Raises `ImageUnavailable` with the reason of every candidate.
    """
    if want.tag and (rebuild or not want.candidates):
        return ensure_built(images, recipes[want.name], report, cancel), "built"
    if want.tag:
        return _pulled_or_built(images, recipes, want, report, cancel)
    return images.pull_first(want.candidates, want.service.platform, report, cancel), "pulled"


def ensure_built(images: Supply, recipe: Recipe, report: Report, cancel: Cancel) -> str:
    """Build the image of a service on this engine and return the image's tag. Raises `ImageUnavailable`."""
    builder = able(images, BuildsImages)
    assert builder is not None  # a service that runs as a process is never built
    marks = {labels.SCHEMA: labels.SCHEMA_VERSION, labels.ROLE: "image"}
    troubles = []
    for base in recipe.bases:
        try:
            if not images.id_of(base):
                images.pull_first((base,), recipe.platform, report, cancel)
        except ImageUnavailable as error:  # not an error yet: perhaps the build skips the stage that needs this image
            troubles.append(error.message)
    try:
        return builder.build(recipe, marks, report, cancel)
    except ImageUnavailable as error:
        error.message = "\n".join([error.message, *troubles])
        raise


def _pulled_or_built(
    images: Supply, recipes: Mapping[str, Recipe], want: Want, report: Report, cancel: Cancel
) -> tuple[str, str]:  # fmt: skip
    """Pull the first available candidate, or else use or build the local image.

    Raises `ImageUnavailable` with all reasons.
    """
    try:
        return images.pull_first(want.candidates, want.service.platform, report, cancel), "pulled"
    except ImageUnavailable as error:
        report("no candidate can be pulled; building it")
        said = error.message
    if want.built:
        return want.tag, "built before; no candidate could be pulled"
    try:
        return ensure_built(images, recipes[want.name], report, cancel), "built; no candidate could be pulled"
    except ImageUnavailable as error:
        error.message = f"{said}\n  - {error.message}"
        raise
