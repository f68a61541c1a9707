"""Collects recorded facts: the run's files, configuration, state record, plan, earlier logs, reports, versions."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from envkit.base.waiting import Cancel
from envkit.evidence.collectors.context import CollectionContext, Collector

if TYPE_CHECKING:
    from envkit.planning.facts import Instance

DISTRIBUTIONS = ("docker", "kubernetes", "pg8000", "psutil", "pydantic", "urllib3", "invoke", "cryptography")


def run(scene: CollectionContext) -> None:
    """Copy the files of the last run: timeline, samples, probes, events, followed logs."""
    if scene.run is None:
        return
    for path in sorted((*scene.run.glob("*"), *scene.run.glob("logs/*"))):  # `rglob` would copy evidence too
        if path.is_file() and not path.name.startswith(".") and not path.is_symlink():
            with scene.noted(f"run/{path.name}"):
                scene.bundle.copy(f"run/{path.relative_to(scene.run)}", path)


def configuration(scene: CollectionContext) -> None:
    """Write the loaded configuration, with all layers merged."""
    scene.bundle.yaml("environment/configuration.yaml", scene.environment.model_dump(mode="json"))


def state(scene: CollectionContext) -> None:
    """Copy the record of the last `up`, and list the environment's files with mode and size."""
    paths = scene.paths
    if paths.state.exists():
        scene.bundle.copy("environment/state.json", paths.state)
    rows = [
        f"{path.lstat().st_mode:o} {path.lstat().st_size:>10} {path.relative_to(paths.folder)}"
        for path in sorted(paths.folder.rglob("*"))[:2000]
    ]
    scene.bundle.text("environment/files.txt", "\n".join([str(paths.folder), *rows, ""]))


def earlier(scene: CollectionContext) -> None:
    """Copy the logs of the cluster's creation, and the nodes' logs if the creation failed."""
    home = scene.paths.logs
    for path in sorted(home.rglob("*")) if home.is_dir() else ():
        if path.is_file() and path.stat().st_mtime >= scene.since - 600:
            scene.bundle.copy(f"nodes/{path.relative_to(home)}", path)


def reports(scene: CollectionContext) -> None:
    """Copy the JUnit files that the command wrote."""
    tests = scene.findings.tests
    for number, name in enumerate(tests.files if tests else ()):
        scene.bundle.copy(f"tests/{number}-{Path(name).name}", Path(name))


def plan(scene: CollectionContext) -> None:
    """Write the steps that `up` would do now, each with its reason. They show what differs from the configuration."""
    from envkit.inventory import observe
    from envkit.planning import plan

    scene.drivers.backend.check()
    steps = plan.make(
        *observe.look(scene.environment, scene.paths, scene.drivers, Cancel(), plan.select(scene.environment, ()))
    )
    rows = [f"{step.action.value:<8} {step.id:<20} {step.reason}" for step in steps.steps]
    scene.bundle.text("environment/plan.txt", "\n".join([*rows, ""]))


def versions(scene: CollectionContext) -> None:
    """Write the versions of envkit, its libraries, the engine, the images and the cluster; leave out what fails."""
    from importlib.metadata import PackageNotFoundError, version

    from envkit.base.abilities import able
    from envkit.drivers.clusters.base import NeedsProgram
    from envkit.version import __version__

    drivers = scene.drivers
    found: dict[str, object] = {
        "envkit": __version__, "python": sys.version, "platform": platform.platform(),
        "lane": drivers.lane, "chosen": drivers.why, "engine": drivers.where if drivers.engine else "none",
    }  # fmt: skip
    for name in DISTRIBUTIONS:
        try:
            found[f"python {name}"] = version(name)
        except PackageNotFoundError:
            continue
    found |= {f"image of {one.service or one.name}": f"{one.image} ({one.image_id})" for one in _images(scene)}
    with scene.noted("the engine's version"):
        if scene.api:
            found["engine's answer"] = scene.api.version()
    with scene.noted("the version of the cluster's program"):
        if scene.environment.cluster.wanted and (made := able(drivers.cluster, NeedsProgram)):
            found[scene.environment.cluster.type] = made.program_version()
    scene.bundle.yaml("versions.yaml", found)


def _images(scene: CollectionContext) -> Sequence[Instance]:
    with scene.noted("the images' versions"):
        return scene.instances
    return ()


COLLECTORS = (
    Collector("run", run, 10),
    Collector("configuration", configuration, 10),
    Collector("state", state, 10),
    Collector("earlier logs", earlier, 10),
    Collector("reports", reports, 10),
    Collector("plan", plan, 20, repeats=True),
    Collector("versions", versions, 15),
)
