"""The stand-in's image: built on an engine, as CI builds and loads the real image."""

from __future__ import annotations

import io
import os
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from docker.errors import APIError

from envkit.base.paths import cache_home
from envkit.base.waiting import Cancel
from envkit.config.images import substitute
from envkit.config.load import Request, load
from envkit.drivers.supply.build import recipes
from envkit.drivers.supply.images import Images
from tests.support.engines import Engine

NAME = "localhost/kubernaut/datastorage"
FILES = ("Dockerfile", "service.py", "checks.py")


@contextmanager
def loaded(engine: Engine, folder: Path) -> Iterator[str]:
    """Yield the image's tag and remove the image at the end."""
    images = Images(engine.api)
    overlays = (engine.overlay,) if engine.overlay else ()
    environment = load(Request(cwd=folder, environ={}, profile="gateway", overlays=overlays))
    arch = "arm64" if os.uname().machine in ("aarch64", "arm64") else "amd64"
    recipe = recipes(environment, arch, cache_home(os.environ))["datastorage"]
    if not images.id_of(recipe.tag):
        base = recipe.args["BASE_IMAGE"]
        if not images.id_of(base):
            images.pull_first((substitute(base, environment.images),), None, print, Cancel())
        images.build(recipe, {}, print, Cancel())
    tag = f"test-{uuid.uuid4().hex[:8]}"
    options = {"tag": f"{NAME}:{tag}", "buildargs": {"BASE": recipe.tag}, "rm": True}
    said = list(engine.api.build(fileobj=_context(), custom_context=True, decode=True, **options))
    assert images.id_of(f"{NAME}:{tag}"), said
    try:
        yield tag
    finally:
        with suppress(APIError):  # the rest is small, and its name identifies its owner
            engine.api.remove_image(f"{NAME}:{tag}", force=True)


def _context() -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in FILES:
            tar.add(Path(__file__).parent / name, name)
    buffer.seek(0)
    return buffer
