"""Pulls one image from its registry or from a mirror, with retries. A mirror's image gets the requested name."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from envkit.base.errors import EngineError
from envkit.base.waiting import Cancel, retry
from envkit.config.images import Source, by_digest, local_name, source_of, split_tag
from envkit.drivers.engine.sdk import stepwise, translated
from envkit.drivers.supply.retrying import pause_before_next

if TYPE_CHECKING:
    from docker import APIClient

PULL_SECONDS = 1800
"""Seconds without output after which a pull through Podman's own API fails.

Podman reports the start of each layer of an image, but not the progress within a layer.
"""

Report = Callable[[str], None]


@dataclass(frozen=True)
class Puller:
    """Pulls images with one engine. `mirrors` maps a registry, or a part of a registry, to its mirror."""

    api: APIClient
    engine: str = "docker"
    mirrors: Mapping[str, str] = field(default_factory=dict)

    def pull(self, reference: str, platform: str | None, report: Report, cancel: Cancel) -> str:
        """Pull the image and return the image's local name. Raises `EngineError` with the error of the last try."""
        source = source_of(reference, self.mirrors)
        before = self._id(source.reference) if source.reference != reference else ""
        self._patiently(reference, source, platform, report, cancel)
        if source.reference == reference:
            return reference
        return self._named(reference, source, had=bool(before))

    def _patiently(
        self, reference: str, source: Source, platform: str | None, report: Report, cancel: Cancel
    ) -> None:  # fmt: skip
        from docker.errors import NotFound

        where = f" from {source.reference}" if source.reference != reference else ""
        tries = 0

        def attempt() -> None:
            nonlocal tries
            tries += 1
            report(f"pulling {reference}{where}" + (f" (try {tries})" if tries > 1 else ""))
            self._once(source, platform, report, cancel)

        def pause(error: BaseException, made: int) -> float | None:
            final = not isinstance(error, EngineError) or isinstance(error.__cause__, NotFound)
            return None if final else pause_before_next(str(error), made)

        try:
            retry(attempt, seconds=math.inf, pauses=pause, cancel=cancel, progress=report)  # `pause` counts tries
        except EngineError as error:
            if where:
                error.message = f"from the mirror {source.reference}: {error.message}"
            if tries > 1:
                error.message += f" (tried {tries} times)"
            raise

    def _once(self, source: Source, platform: str | None, report: Report, cancel: Cancel) -> None:
        layers: dict[str, tuple[int, int]] = {}
        with translated(f"pulling {source.reference}"):
            for row in stepwise(self._rows(source, platform), cancel):
                if row.get("error"):
                    raise EngineError(str(row["error"]))
                _note(layers, row, report)

    def _rows(self, source: Source, platform: str | None) -> Iterator[dict[str, Any]]:
        if source.plain and self.engine == "podman":
            return self._rows_of_podman(source.reference, platform)
        name, tag = split_tag(source.reference)
        repository, tag = (source.reference, "") if by_digest(source.reference) else (name, tag[1:] or "latest")
        rows: Iterator[dict[str, Any]] = self.api.pull(
            repository, tag or None, stream=True, decode=True, platform=platform or None
        )
        return rows

    def _rows_of_podman(self, reference: str, platform: str | None) -> Iterator[dict[str, Any]]:
        """Pull without TLS through Podman's own API and return the messages: Docker's API has no parameter for TLS.

        Docker does not need the parameter, because it uses no TLS for registries on its loopback address.
        """
        from docker.auth import get_config_header, resolve_repository_name

        api: Any = self.api
        system, _, machine = (platform or "").partition("/")
        asked = {"reference": reference, "tlsVerify": "false", "OS": system, "Arch": machine.partition("/")[0]}
        header = get_config_header(api, resolve_repository_name(reference)[0])
        response = api.post(
            f"{api.base_url}/v4.0.0/libpod/images/pull", params={key: value for key, value in asked.items() if value},
            headers={"X-Registry-Auth": header} if header else {}, stream=True, timeout=PULL_SECONDS,
        )  # fmt: skip
        api._raise_for_status(response)
        return (json.loads(line) for line in response.iter_lines() if line)

    def _named(self, reference: str, source: Source, *, had: bool) -> str:
        """Tag the image from a mirror with the requested name and return the new name.

        It removes the mirror's name, unless the engine had an image with this name before (`had`).
        """
        from docker.errors import APIError

        name = local_name(reference)
        repository, tag = split_tag(name)
        with translated(f"naming {source.reference} {name}"):
            self.api.tag(source.reference, repository, tag[1:] or "latest", force=True)
            if not had:
                with suppress(APIError):
                    self.api.remove_image(source.reference, noprune=True)
        return name

    def _id(self, reference: str) -> str:
        from docker.errors import NotFound

        with translated(f"looking for image {reference}"), suppress(NotFound):
            return str(self.api.inspect_image(reference)["Id"])  # type: ignore[no-untyped-call]  # the stubs lack it
        return ""


def _note(layers: dict[str, tuple[int, int]], row: Mapping[str, Any], report: Report) -> None:
    """Report the progress of all layers as one line."""
    progress = row.get("progressDetail") or {}
    if row.get("id") and progress.get("total"):
        layers[str(row["id"])] = (int(progress.get("current", 0)), int(progress["total"]))
        done, total = (sum(pair[i] for pair in layers.values()) for i in (0, 1))
        report(f"{done / 2**20:.0f} of {total / 2**20:.0f} MiB")
