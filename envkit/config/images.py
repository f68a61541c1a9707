"""Names of images: written in full, exchanged for stand-ins, and led to mirrors where the configuration says so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

DEFAULT_REGISTRY, DEFAULT_FOLDER = "docker.io", "library"


def full_name(image: str) -> str:
    """`redis:7` as `docker.io/library/redis:7`, as both engines understand it; a tag is not added."""
    first, slash, rest = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        official = first == DEFAULT_REGISTRY and "/" not in rest
        return f"{first}/{DEFAULT_FOLDER}/{rest}" if official else image
    return f"{DEFAULT_REGISTRY}/{image}" if slash else f"{DEFAULT_REGISTRY}/{DEFAULT_FOLDER}/{image}"


def split_tag(image: str) -> tuple[str, str]:
    """Repository, and `:tag`, `@digest` or both as written."""
    repository, at, digest = image.partition("@")
    name, colon, tag = repository.rpartition(":")
    if colon and "/" not in tag:
        return name, f":{tag}{at}{digest}"
    return repository, f"{at}{digest}"


def substitute(image: str, images: Mapping[str, str]) -> str:
    """The stand-in for `image`: the one for exactly this image, else the one for its repository, else itself.

    A stand-in for a whole repository that names no tag keeps the image's: `redis: mirror.example/redis`.
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
"""Where an image that is wanted by its digest gets a name, when it came by an archive or a mirror: engines can look up
a digest only of what they pulled under that very name."""


def by_digest(image: str) -> bool:
    """Whether it is wanted by its digest."""
    return "@sha256:" in image


def kept_name(image: str) -> str:
    """The local name of an image wanted by its digest: `localhost/envkit-kept/docker.io/library/redis:sha256-1f`.

    Only envkit gives such a name, and only to what has that digest.
    """
    repository, rest = split_tag(full_name(image))
    return f"{KEPT}{repository}:{rest.partition('@')[2].replace(':', '-')}"


def names_of(image: str) -> tuple[str, ...]:
    """The names under which an image may be here."""
    return (image, kept_name(image)) if by_digest(image) and not image.startswith(KEPT) else (image,)


def local_name(image: str) -> str:
    """The name that an image can be given here: its own, or where that is a digest the one it is kept under."""
    return names_of(image)[-1]


@dataclass(frozen=True)
class Source:
    """Where an image is pulled from. `plain`: without TLS, or with a certificate that nobody vouches for."""

    reference: str
    plain: bool = False


def source_of(image: str, mirrors: Mapping[str, str]) -> Source:
    """The mirror of the longest prefix that fits (`docker.io`, `docker.io/library`), else the image's own registry.

    A registry on this host's loopback needs no TLS, which is what Docker takes for granted.
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
