"""The behaviour of networks (found by label) and images (found by name) that all engines, also the fake, must have."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from envkit.base import labels
from envkit.base.errors import EngineError, ImageUnavailable
from envkit.base.waiting import Aborted, Cancel
from envkit.config.models import Build
from envkit.drivers.supply.build import Recipe, recipe
from tests.contract.bench import OWNER, Bench, RealBench

UNKNOWN = "localhost/envkit-standin/no-such-image:0"


def silent(_message: str) -> None:
    """Ignore progress messages."""


# Networks


def test_a_network_is_made_once_found_and_removed_by_label(engine: Bench) -> None:
    name = f"{engine.environment}-n"

    assert not engine.networks.exists(name)
    engine.networks.create(name, OWNER)
    engine.networks.create(name, OWNER)

    assert engine.networks.exists(name)
    assert engine.networks.exists(engine.environment), "an environment whose name begins like the other's still exists"
    assert engine.networks.remove_all(name) == [f"envkit-{name}"]
    assert engine.networks.remove_all(name) == []
    assert not engine.networks.exists(name)
    assert engine.networks.exists(engine.environment)


def test_a_strangers_network_is_an_error_and_stays(engine: Bench) -> None:
    name = f"{engine.environment}-f"
    engine.foreign_network(labels.resource_name(name))

    with pytest.raises(EngineError, match=f"envkit-{name} exists and is not envkit's"):
        engine.networks.exists(name)
    with pytest.raises(EngineError, match="not envkit's"):
        engine.networks.create(name, OWNER)

    assert engine.networks.remove_all(name) == []
    with pytest.raises(EngineError, match="not envkit's"):
        engine.networks.exists(name)


# Images


def test_ids_are_told_of_images_that_are_here_only(engine: Bench) -> None:
    found = engine.images.ids([engine.debian, UNKNOWN, engine.redis, engine.debian])

    assert set(found) == {engine.debian, engine.redis}
    assert found[engine.debian] == engine.images.id_of(engine.debian) != found[engine.redis]
    assert engine.images.id_of(UNKNOWN) == ""


def test_an_image_that_nobody_has_fails_soon_and_is_named(engine: Bench) -> None:
    began = time.monotonic()

    with pytest.raises(ImageUnavailable) as caught:
        engine.images.pull_first([UNKNOWN], None, silent, Cancel())

    assert time.monotonic() - began < 30
    assert f"{UNKNOWN}:" in caught.value.message
    assert caught.value.hint


def test_a_pull_heeds_cancel(engine: Bench) -> None:
    cancel = Cancel()
    cancel.abort()

    with pytest.raises(Aborted):
        engine.images.pull_first([UNKNOWN], None, silent, cancel)


# Builds


def context(folder: Path, unique: str, dockerfile: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(dockerfile)
    (folder / ".dockerignore").write_text("secret\n*.log\n!kept.log\n# a comment\n")
    for name, text in {"kept.txt": unique, "kept.log": "k", "secret": "s", "noise.log": "n"}.items():
        (folder / name).write_text(text)
    return folder


def recipe_of(folder: Path, name: str) -> Recipe:
    return recipe(name, Build(context=str(folder)), {}, "amd64", folder.parent / "cache")


def test_a_build_takes_its_context_but_what_is_ignored(engine: Bench, tmp_path: Path) -> None:
    folder = context(tmp_path / "ctx", engine.environment, f"FROM {engine.debian}\nCOPY . /ctx\n")
    made = recipe_of(folder, f"{engine.environment}-built")
    marks = {labels.SCHEMA: labels.SCHEMA_VERSION, labels.ROLE: "image"}

    tag = engine.images.build(made, marks, silent, Cancel())

    try:
        assert tag == made.tag
        assert engine.images.id_of(tag)
        started = engine.start(image=tag)
        assert engine.runtime.execute(started, ["cat", "/ctx/kept.txt"]) == (0, engine.environment)
        assert engine.runtime.execute(started, ["cat", "/ctx/kept.log"]) == (0, "k")
        assert engine.runtime.execute(started, ["cat", "/ctx/secret"])[0] == 1
        assert engine.runtime.execute(started, ["cat", "/ctx/noise.log"])[0] == 1
        if isinstance(engine, RealBench):
            assert marks.items() <= engine.api.inspect_image(tag)["Config"]["Labels"].items()
    finally:
        engine.clean()
        engine.forget(tag)


def test_a_build_that_fails_shows_its_last_lines(engine: Bench, tmp_path: Path) -> None:
    folder = context(tmp_path / "ctx", engine.environment, f"FROM {engine.debian}\nRUN false\n")
    made = recipe_of(folder, f"{engine.environment}-broken")

    with pytest.raises(ImageUnavailable, match="failed") as caught:
        engine.images.build(made, {}, silent, Cancel())

    assert "false" in caught.value.detail
    assert engine.images.id_of(made.tag) == ""
