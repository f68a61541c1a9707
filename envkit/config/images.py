"""Names of images: written in full, and exchanged for stand-ins where the configuration says so."""

from __future__ import annotations

from collections.abc import Mapping

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
