"""Supplies the images of one engine: finds, pulls and builds them. It never removes an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from envkit.base.errors import EngineError, ImageUnavailable
from envkit.base.waiting import Cancel
from envkit.config.images import KEPT
from envkit.drivers.engine.sdk import stepwise, translated
from envkit.drivers.supply.details import Details
from envkit.drivers.supply.pulling import Puller

if TYPE_CHECKING:
    from docker import APIClient

    from envkit.config.models import Service
    from envkit.drivers.supply.build import Recipe

LOCAL = "localhost/"
"""Start of the names of images that were built or loaded on this host; a local registry is `localhost:PORT/`."""


class Images:
    """The images of one engine. It pulls an image from a mirror if `mirrors` has a mirror for the image's registry."""

    def __init__(self, api: APIClient, engine: str = "docker", mirrors: Mapping[str, str] | None = None) -> None:
        self._api = api
        self._puller = Puller(api, engine, mirrors or {})

    def ids(self, references: Sequence[str]) -> dict[str, str]:
        """Return the id of each image that the engine has; leave out the others."""
        found = {reference: self.id_of(reference) for reference in dict.fromkeys(references)}
        return {reference: identity for reference, identity in found.items() if identity}

    def id_of(self, reference: str) -> str:
        """Return the image's id, or an empty string if the engine does not have the image."""
        from docker.errors import NotFound

        try:
            with translated(f"looking for image {reference}"):
                return str(self._api.inspect_image(reference)["Id"])  # type: ignore[no-untyped-call]  # the stubs lack it
        except EngineError as error:
            if isinstance(error.__cause__, NotFound):
                return ""
            raise

    def details(self, reference: str) -> Details:
        """Return the image's id and its size in bytes."""
        with translated(f"inspecting {reference}"):
            found = dict(self._api.inspect_image(reference))  # type: ignore[no-untyped-call]  # the stubs lack it
        return Details(str(found.get("Id", "")), int(found.get("Size") or 0))

    def lacks(self, _service: Service, reference: str) -> str:
        """Return why the service cannot be started from this image, or an empty string if it can."""
        return "" if self.id_of(reference) else f"image {reference} is not here any more"

    def pull_first(
        self, candidates: Sequence[str], platform: str | None, report: Callable[[str], None], cancel: Cancel
    ) -> str:
        """Pull the first available candidate; return the image's local name.

        Raises `ImageUnavailable` with the reason of every candidate.
        """
        reasons = []
        for reference in candidates:
            cancel.check()
            if reference.startswith(KEPT):
                continue  # this is the local name of the image before it in the list
            if reference.startswith(LOCAL):
                reasons.append(f"{reference}: is not here, and localhost is no registry: load it or build it")
                continue
            try:
                return self._puller.pull(reference, platform, report, cancel)
            except EngineError as error:
                reasons.append(f"{reference}: {error.message}")
        raise ImageUnavailable(
            "the image cannot be had:\n" + "\n".join(f"  - {reason}" for reason in reasons),
            hint="check the name and the registry, or log in with `docker login`; if no registry can be reached, "
            "name local images in an overlay (`--overlay standins` shows how)",
        )

    def build(self, recipe: Recipe, labels: Mapping[str, str], report: Callable[[str], None], cancel: Cancel) -> str:
        """Build the recipe's image and return the image's tag.

        Raises `ImageUnavailable` with the last 25 lines of the build's output.
        """
        report(f"building {recipe.tag}")
        lines: list[str] = []
        with translated(f"building {recipe.tag}"):
            rows = self._api.build(
                fileobj=recipe.open_context(report, cancel), custom_context=True, dockerfile=recipe.dockerfile,
                tag=recipe.tag, buildargs=dict(recipe.args), target=recipe.target or "",
                platform=recipe.platform or None, rm=True, forcerm=True, labels=dict(labels), decode=True,
            )  # fmt: skip
            for row in stepwise(rows, cancel):
                _collect(lines, row, report, recipe.tag)
        if not self.id_of(recipe.tag):
            raise _build_failed(recipe.tag, lines, "the engine ended the build without an image")
        return recipe.tag


def _collect(lines: list[str], row: Mapping[str, Any], report: Callable[[str], None], tag: str) -> None:
    if row.get("error"):
        raise _build_failed(tag, lines, str(row["error"]))
    for line in str(row.get("stream", "")).splitlines():
        if line.strip():
            lines.append(line)
            report(line.strip()[:100])


def _build_failed(tag: str, lines: Sequence[str], why: str) -> ImageUnavailable:
    return ImageUnavailable(f"building {tag} failed: {why.strip()}", detail="\n".join(lines[-25:]))
