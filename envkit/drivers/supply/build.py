"""Makes the recipes of images that envkit builds.

The tag is a digest of all inputs, so an image that exists under this tag is up to date.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from envkit.base.paths import PACKAGE
from envkit.base.waiting import Cancel
from envkit.config.images import substitute
from envkit.drivers.supply.base_images import base_images

if TYPE_CHECKING:
    from envkit.config.models import Build, Environment

OWN = "datastorage"
"""The value of `context` in the configuration that stands for envkit's own DataStorage service."""

BUILT = "localhost/envkit/"
"""Start of the names of images that envkit builds. `localhost` is not a registry, so engines do not pull them."""

Folders = Callable[[Callable[[str], None], Cancel], Iterator[tuple[str, Path]]]


@dataclass(frozen=True)
class Recipe:
    """The input of a build. When the build begins, `entries` yields the name and the path of each context file."""

    tag: str
    dockerfile: str
    args: Mapping[str, str]
    target: str | None
    platform: str | None
    entries: Folders
    bases: tuple[str, ...] = ()
    """The base images that envkit can read from the Dockerfile; for others only the engine knows the arguments."""

    def open_context(self, report: Callable[[str], None], cancel: Cancel) -> IO[bytes]:
        """Return the context as a tar archive without times and owners: equal content gives an equal archive."""
        import tarfile

        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, path in self.entries(report, cancel):
                info = tar.gettarinfo(str(path), name)
                info.mtime, info.uid, info.gid, info.uname, info.gname = 0, 0, 0, "", ""
                if info.isreg():
                    with path.open("rb") as file:
                        tar.addfile(info, file)
                else:
                    tar.addfile(info)
        buffer.seek(0)
        return buffer


def recipe(service: str, build: Build, args: Mapping[str, str], arch: str, cache: Path) -> Recipe:
    """Return the recipe of a service's image; `args` are the build arguments with stand-in images substituted."""
    if build.context == OWN:
        return _own(build, args, arch, cache)
    files = list(_context(Path(build.context), build.dockerfile))
    tag = f"{BUILT}{service}:{_digest(files, build, args, arch)}"
    text = dict(files)[build.dockerfile].read_text(errors="replace") if build.dockerfile in dict(files) else ""
    return Recipe(
        tag, build.dockerfile, args, build.target, build.platform, lambda _report, _cancel: iter(files),
        base_images(text, args),
    )  # fmt: skip


def _own(build: Build, args: Mapping[str, str], arch: str, cache: Path) -> Recipe:
    """Return the recipe of envkit's DataStorage service, with its sources, and its dependencies from this host."""
    source = PACKAGE / "datastorage"
    requirements, dockerfile = source / "requirements.txt", source / "image" / "Dockerfile"
    base = args.get("BASE_IMAGE", "")
    app = [(f"app/envkit/datastorage/{name}", path) for name, path in _tree(source) if not name.startswith("image/")]
    files = [("Dockerfile", dockerfile), ("requirements.txt", requirements), *app]
    tag = f"{BUILT}{OWN}:{_digest(files, build, args, arch)}"

    def entries(report: Callable[[str], None], cancel: Cancel) -> Iterator[tuple[str, Path]]:
        from envkit.drivers.supply.wheels import site_folder

        site = site_folder(requirements, base, arch, cache, report, cancel)
        yield from [("Dockerfile", dockerfile), *app]
        yield from ((f"site/{name}", path) for name, path in _tree(site))

    return Recipe(
        tag, "Dockerfile", args, build.target, build.platform, entries, base_images(dockerfile.read_text(), args)
    )


def _tree(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the name and the path of each file below a folder, sorted; omit Python's byte code."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(folder).as_posix(), path


def _context(folder: Path, dockerfile: str) -> Iterator[tuple[str, Path]]:
    """Yield the files of the user's build context, without the files that `.dockerignore` excludes."""
    from docker.utils.build import exclude_paths

    ignore = folder / ".dockerignore"
    patterns = ignore.read_text().splitlines() if ignore.exists() else []
    patterns = [line.strip() for line in patterns if line.strip() and not line.startswith("#")]
    for name in sorted(exclude_paths(str(folder), [*patterns, f"!{dockerfile}"], dockerfile=dockerfile)):
        path = folder / name
        if path.is_file() or path.is_symlink():
            yield Path(name).as_posix(), path


def _digest(files: list[tuple[str, Path]], build: Build, args: Mapping[str, str], arch: str) -> str:
    digest = hashlib.sha256()
    digest.update(repr((sorted(args.items()), build.dockerfile, build.target, build.platform, arch)).encode())
    for name, path in files:
        content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]


def recipes(environment: Environment, arch: str, cache: Path) -> dict[str, Recipe]:
    """Return the recipe of each service that has `build`, with base images replaced by their stand-ins."""
    found = {}
    for name, service in environment.services.items():
        if service.build:
            args = {key: _stand_in(value, environment.images) for key, value in service.build.args.items()}
            found[name] = recipe(name, service.build, args, arch, cache)
    return found


def _stand_in(value: str, images: Mapping[str, str]) -> str:
    """Return a build argument, or the stand-in image if the argument names an image that has a stand-in."""
    return substitute(value, images) if "/" in value or ":" in value else value
