"""`images`: list, pull and build the images and programs that an environment needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from envkit.base.abilities import able
from envkit.base.control import Control
from envkit.base.errors import EnvironmentFailed, EnvkitError, ImageUnavailable, UsageError
from envkit.base.events import Kind
from envkit.base.paths import Paths
from envkit.base.waiting import Aborted
from envkit.config.images import full_name, names_of, source_of
from envkit.config.models import Environment
from envkit.drivers.clusters.base import RunsPods
from envkit.drivers.supply.base import BuildsImages
from envkit.drivers.supply.build import OWN
from envkit.drivers.supply.ensure import ensure_built, ensure_image
from envkit.drivers.supply.images import LOCAL
from envkit.inventory import observe
from envkit.inventory.drivers import Drivers
from envkit.planning.plan import Want

AT_ONCE = 4
"""Largest number of pulls at the same time. It is small, because an engine pulls the layers of an image in parallel."""

Role = Literal["service", "build", "base", "node", "inside", "program"]


@dataclass(frozen=True)
class Part:
    """One image (or program) that the environment uses.

    envkit tries `names` in this order; `here` is the name that is present, or an empty string. `role` is one of:
    `service`, an image of a service; `build`, an image that is built for a service; `base`, the base image of a build;
    `node`, the image of the cluster's nodes; `inside`, an image that is loaded into the nodes; `program`, the program
    of a service that runs as a process.
    """

    role: Role
    names: tuple[str, ...]
    used_by: tuple[str, ...]
    platform: str | None = None
    here: str = ""
    id: str = ""
    size: int = 0
    want: Want | None = None
    origin: str = ""

    @property
    def name(self) -> str:
        """The name that is present, else the name that would be tried first."""
        return self.here or self.names[0]


@dataclass(frozen=True)
class Result:
    """The result for one part: `here` (it was present), `pulled`, `built`, `left` (to be built later) or `failed`."""

    part: Part
    result: Literal["here", "pulled", "built", "left", "failed"]
    said: str = ""
    seconds: float = 0.0


def list_parts(environment: Environment, paths: Paths, drivers: Drivers) -> list[Part]:
    """Return every image and program that the environment needs, and whether each is present on this machine."""
    return [_looked_up(environment, drivers, part) for part in _merged(_parts(environment, paths, drivers))]


def pull(environment: Environment, paths: Paths, drivers: Drivers, control: Control) -> list[Result]:
    """Pull each part that envkit does not build, several at once. If one fails, the others are still pulled."""
    parts = [part for part in list_parts(environment, paths, drivers) if part.role != "build"]
    return _each(control, parts, partial(_pulled, environment, drivers, control))


def build(
    environment: Environment, paths: Paths, drivers: Drivers, control: Control, services: Sequence[str] = ()
) -> list[Result]:
    """Build the images of the named services, or of all services that have a `build`.

    Raises `UsageError` if a named service has no `build`, or if the lane runs processes.
    """
    known = {name for name, service in environment.services.items() if service.build}
    unknown = [name for name in services if name not in known]
    if unknown:
        raise UsageError(
            f"nothing is built for {', '.join(unknown)}",
            hint=f"services with a `build`: {', '.join(sorted(known)) or 'none'}",
        )
    if able(drivers.supply, BuildsImages) is None:
        raise UsageError(
            f"lane {drivers.lane} runs processes, for which no image is built", hint="use --lane containers"
        )
    parts = [
        part
        for part in list_parts(environment, paths, drivers)
        if part.role == "build" and (not services or {*part.used_by} & {*services})
    ]
    return _each(control, parts, partial(_built, environment, drivers, control))


def complete(environment: Environment, paths: Paths, drivers: Drivers, control: Control) -> list[Part]:
    """Pull or build each missing part, and return all parts except base images.

    Raises `ImageUnavailable` with every part that is not available.
    """
    missing = [part for part in list_parts(environment, paths, drivers) if not part.here and part.role != "base"]
    failed = [
        one for one in _each(control, missing, partial(_had, environment, drivers, control)) if one.result == "failed"
    ]
    if failed:
        raise ImageUnavailable(
            "not everything is available:\n" + "\n".join(f"  - {one.part.name}: {one.said}" for one in failed)
        )
    return [part for part in list_parts(environment, paths, drivers) if part.role != "base"]


# Pull and build the parts


def _each(control: Control, parts: Sequence[Part], work: Callable[[Part], Result]) -> list[Result]:
    def one(part: Part) -> Result:
        began, emit = time.monotonic(), control.stream.emit
        emit(Kind.STARTED, part.name, "")
        try:
            control.cancel.check()
            done = work(part)
        except (EnvironmentFailed, Aborted) as error:
            done = Result(part, "failed", error.message)
        except EnvkitError as error:
            emit(Kind.SKIPPED, part.name, error.message, time.monotonic() - began)
            raise
        took = time.monotonic() - began
        kind = {"failed": Kind.FAILED, "here": Kind.KEPT, "left": Kind.KEPT}.get(done.result, Kind.DONE)
        emit(kind, part.name, done.said or done.result, took)
        return replace(done, seconds=took)

    for part in parts:
        control.stream.emit(Kind.PLANNED, part.name, "")
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="images") as pool:
        waiting = [pool.submit(one, part) for part in parts]
    control.cancel.check()
    return [future.result() for future in waiting]


def _pulled(environment: Environment, drivers: Drivers, control: Control, part: Part) -> Result:
    if part.here:
        return Result(part, "here", f"{part.here} is here")
    if part.role == "build" or all(name.startswith(LOCAL) for name in part.names):
        return Result(part, "failed", "is not here, and no registry has it: it is built or loaded on this machine")
    report = control.stream.reporter(part.name)
    try:
        name = drivers.supply.pull_first(part.names, part.platform, report, control.cancel)
    except ImageUnavailable:
        if part.want and part.want.tag:
            return Result(part, "left", "no candidate can be pulled; it is built (`images build`, or `up`)")
        raise
    return Result(
        _looked_up(environment, drivers, replace(part, names=(name, *part.names))), "pulled", f"{name} is here (pulled)"
    )


def _built(environment: Environment, drivers: Drivers, control: Control, part: Part) -> Result:
    tag = ensure_built(
        drivers.supply, drivers.recipes[part.used_by[0]], control.stream.reporter(part.name), control.cancel
    )
    return Result(_looked_up(environment, drivers, part), "built", f"{tag} is here (built)")


def _had(environment: Environment, drivers: Drivers, control: Control, part: Part) -> Result:
    if part.want is None:
        return _pulled(environment, drivers, control, part)
    name, how = ensure_image(
        drivers.supply, drivers.recipes, part.want, control.stream.reporter(part.name), control.cancel
    )
    return Result(part, "built" if how.startswith("built") else "pulled", f"{name} is here ({how})")


# Find the parts


def _parts(environment: Environment, paths: Paths, drivers: Drivers) -> Iterable[Part]:
    for name, want in observe.image_wants(environment, paths, drivers).items():
        if not want.service.runs:
            continue
        names = (*want.candidates, *([want.tag] if want.tag else []))
        role: Role = "service" if want.candidates else "build"
        if want.service.process:
            role = "program"
        yield Part(role, names, (name,), want.service.platform, here=want.image, want=want)
        if role == "build":
            recipe = drivers.recipes[name]
            yield from (Part("base", (base,), (f"{name} (build)",), recipe.platform) for base in recipe.bases)
    if environment.cluster.wanted and (cluster := able(drivers.cluster, RunsPods)):
        images = cluster.node_images(environment.cluster)
        yield from (Part("node", names_of(image), ("cluster",)) for image in images)
        yield from (Part("inside", (image,), ("cluster (inside)",)) for image in environment.cluster.images)


def _merged(parts: Iterable[Part]) -> list[Part]:
    """Return the parts without duplicates. The part of an image lists all services that use the image."""
    found: dict[tuple[str, ...], Part] = {}
    for part in parts:
        same = found.get(part.names)
        found[part.names] = replace(same, used_by=(*same.used_by, *part.used_by)) if same else part
    return list(found.values())


def _looked_up(environment: Environment, drivers: Drivers, part: Part) -> Part:
    here = part.here or next(iter(drivers.supply.ids(part.names)), "")
    if not here:
        return replace(
            part, here=here, origin="to be fetched" if part.role == "program" else _origin(environment, part, here)
        )
    found = drivers.supply.details(here)
    return replace(
        part, here=here, id=found.id, size=found.size, origin=found.source or _origin(environment, part, here)
    )


def _origin(environment: Environment, part: Part, here: str) -> str:
    """Return the origin of the image as text: a build, this machine, a registry, or a mirror of a registry.

    If the image replaces another image (`images:`), the text also names the replaced image.
    """
    image = here or part.names[0]
    build_ = environment.services[part.used_by[0]].build if part.want else None
    if part.want and build_ and image == part.want.tag:
        return f"built from {'envkit itself' if build_.context == OWN else build_.context}"
    if image.startswith(LOCAL):
        return "this machine" + _instead_of(environment, image)
    source = source_of(image, environment.mirrors).reference
    host = full_name(image).partition("/")[0]
    via = f" by {source.partition('/')[0]}" if source != image else ""
    return f"{host}{via}{_instead_of(environment, image)}"


def _instead_of(environment: Environment, image: str) -> str:
    replaced = [name for name, value in environment.images.items() if value == image and name != image]
    return f", instead of {replaced[0]}" if replaced else ""
