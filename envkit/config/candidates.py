"""Select the image candidates of services: skip those with unset variables, and record the reason.

The last candidate can be a build:

image:
  - localhost/shop/api:${CI_TAG}                 # loaded by CI
  - ${IMAGE_REGISTRY}/shop/api:${IMAGE_TAG}      # a registry
build: {context: "${SHOP_SOURCE}"}               # else built by envkit
"""

from __future__ import annotations

import re
from typing import Any

from envkit.config.interpolate import Broken
from envkit.config.merge import Keys, leaves

_WHOLE = re.compile(r"[^/:@\s][^\s]*[^/:@\s]|[^/:@\s]")
_EMPTY_PART = re.compile(r"//|/:|:/|::")

PLACEHOLDER = "none"
"""Image name for a service without candidates, so that the same run can check the rest of the service."""


def select_candidates(services: Any) -> tuple[Any, dict[Keys, str]]:
    """Return the services with their usable candidates, and a finding for each service without a usable candidate."""
    if not isinstance(services, dict):
        return services, {}
    found: dict[str, Any] = {}
    findings: dict[Keys, str] = {}
    for name, service in services.items():
        found[name] = service
        if isinstance(service, dict) and _several(service):
            found[name], skipped = _chosen(service)
            if not found[name].get("image") and not found[name].get("build"):
                found[name]["image"] = [PLACEHOLDER]
                findings["services", name, "image"] = f"no candidate is left: {'; '.join(skipped)}"
    return found, findings


def _several(service: dict[str, Any]) -> bool:
    image = service.get("image")
    ways = len(image) if isinstance(image, list) else int(image is not None)
    return bool(image) and ways + isinstance(service.get("build"), dict) > 1


def _chosen(service: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the service without the candidates that must be skipped, and the reason for each skip."""
    images = service["image"] if isinstance(service["image"], list) else [service["image"]]
    reasons = [_reason(image) for image in images]
    kept = [image for image, reason in zip(images, reasons, strict=True) if not reason]
    chosen = {**service, "image": kept}
    skipped = [reason for reason in reasons if reason]
    unset = [value for _, value in leaves(service.get("build") or {}) if isinstance(value, Broken) and value.unset]
    if unset:
        del chosen["build"]
        skipped.append(f"a build of {unset[0].text}: {_not_set(unset[0])}")
    if skipped:
        chosen["skipped"] = skipped
    return chosen, skipped


def _reason(image: Any) -> str:
    if isinstance(image, Broken) and image.unset:
        return f"{image.text}: {_not_set(image)}"
    if isinstance(image, str) and (not _WHOLE.fullmatch(image) or _EMPTY_PART.search(image)):
        return f"'{image}': this is not an image name; a variable in it is empty"
    return ""


def _not_set(broken: Broken) -> str:
    names = ", ".join(broken.unset)
    return f"{names} {'is' if len(broken.unset) == 1 else 'are'} not set"
