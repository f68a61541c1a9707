"""Names of images: complete them, replace them with substitutes, and find the mirror from which to pull them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

DEFAULT_REGISTRY, DEFAULT_FOLDER = "docker.io", "library"


def full_name(image: str) -> str:
    """Return the image's name with registry and folder: `docker.io/library/redis:7` for `redis:7`. No tag is added."""
    first, slash, rest = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        official = first == DEFAULT_REGISTRY and "/" not in rest
        return f"{first}/{DEFAULT_FOLDER}/{rest}" if official else image
    return f"{DEFAULT_REGISTRY}/{image}" if slash else f"{DEFAULT_REGISTRY}/{DEFAULT_FOLDER}/{image}"


def split_tag(image: str) -> tuple[str, str]:
    """Return the repository and the rest of the name, which is `:tag`, `@digest`, both, or an empty string."""
    repository, at, digest = image.partition("@")
    name, colon, tag = repository.rpartition(":")
    if colon and "/" not in tag:
        return name, f":{tag}{at}{digest}"
    return repository, f"{at}{digest}"


def substitute(image: str, images: Mapping[str, str]) -> str:
    """Return the substitute for exactly this image, else the substitute for its repository, else the image itself.

    An image without a tag also matches the tag `latest`. If the substitute for a repository has no tag, it gets the
    image's tag, as in `redis: mirror.example/redis`.
    """
    stand_ins = {full_name(name): value for name, value in images.items()}
    wanted = full_name(image)
    if wanted in stand_ins:
        return stand_ins[wanted]
    repository, tag = split_tag(wanted)
    if repository not in stand_ins:
        return stand_ins.get(f"{repository}:latest", image) if not tag else image
    found = stand_ins[repository]
    return found if split_tag(found)[1] else found + tag


KEPT = "localhost/envkit-kept/"
"""Prefix of the local names for images that are requested by digest and came from an archive or a mirror.

They need a local name because an engine finds an image by digest only if it pulled the image under the same name.
"""


def by_digest(image: str) -> bool:
    """Return whether the name has a digest."""
    return "@sha256:" in image


def kept_name(image: str) -> str:
    """Return the local name of an image with a digest: `localhost/envkit-kept/docker.io/library/redis:sha256-1f`.

    Only envkit uses such names, and only for an image that has that digest.
    """
    repository, rest = split_tag(full_name(image))
    return f"{KEPT}{repository}:{rest.partition('@')[2].replace(':', '-')}"


def names_of(image: str) -> tuple[str, ...]:
    """Return the names under which the engine can already have the image."""
    return (image, kept_name(image)) if by_digest(image) and not image.startswith(KEPT) else (image,)


def local_name(image: str) -> str:
    """Return the name for a local image: its own name, or the result of `kept_name` if the name has a digest."""
    return names_of(image)[-1]


@dataclass(frozen=True)
class Source:
    """The place to pull an image from. `plain` means without TLS, or with a certificate that is not verified."""

    reference: str
    plain: bool = False


def source_of(image: str, mirrors: Mapping[str, str]) -> Source:
    """Return where to pull the image: from a mirror, or from the image's own registry if no mirror matches.

    The mirror with the longest matching prefix (`docker.io`, `docker.io/library`) is used.

    A registry on this host's loopback address needs no TLS, as in Docker.
    """
    wanted = full_name(image)
    for prefix in sorted(mirrors, key=len, reverse=True):
        if wanted.startswith(f"{prefix.rstrip('/')}/"):
            scheme, _, place = mirrors[prefix].rstrip("/").rpartition("://")
            reference = f"{place}/{wanted.removeprefix(prefix.rstrip('/') + '/')}"
            return Source(reference, scheme == "http" or _on_loopback(reference))
    return Source(image, _on_loopback(image))


def _on_loopback(image: str) -> bool:
    host = image.partition("/")[0]
    return "/" in image and re.fullmatch(r"(127(\.\d+){3}|localhost|\[::1\]):\d+", host) is not None
