"""Read all layers of a configuration, lowest first. The module does not import the typed model, so it is fast."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envkit.base.errors import ConfigError, Fault
from envkit.config.interpolate import interpolate
from envkit.config.lookup import LOCAL_FILE, Main, NotFoundError, main_file, named, upwards
from envkit.config.merge import dotted
from envkit.config.names import wrong_as_environment
from envkit.config.request import COMMAND_LINE, Request
from envkit.config.sets import parsed_set
from envkit.config.shipped import checkout_of, is_shipped
from envkit.config.yamlfile import Finding, read

DEEPEST = 30
"""Maximum length of a chain of files that extend one another."""


@dataclass(frozen=True)
class Layer:
    """The mapping from one file or flag. `origin` is its name in messages; its paths are relative to `folder`."""

    origin: str
    folder: Path
    data: dict[str, Any]
    file: Path | None = None


@dataclass
class Sources:
    """All layers, and the faults found while reading them; `broken` is true if a layer is missing or unusable."""

    main: Main
    layers: list[Layer] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    broken: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        """The files of the layers, lowest first; later files override earlier ones."""
        return tuple(str(layer.file) for layer in self.layers if layer.file)


@dataclass(frozen=True)
class Identified:
    """An environment without its typed model: its name, the folder it belongs to, and its configuration files."""

    name: str
    root: Path
    files: tuple[str, ...]

    @property
    def checkout(self) -> str:
        """The folder that the environment belongs to; empty if its configuration has shipped profiles only."""
        return checkout_of(self.files, str(self.root))


def called(name: str, sources: Sources, request: Request) -> str:
    """Return the environment's final name: `name`, and in a CI job also the job's suffix.

    A name that the command line or a variable sets gets no suffix.
    """
    return request.job.name(name) if request.job and not _given(sources) else name


def named_by_job(request: Request) -> bool:
    """Return whether the CI job determines the environment's name, because no option or variable sets it."""
    return request.job is not None and not _given(collect(request))


def _given(sources: Sources) -> bool:
    return any(layer.file is None and "name" in layer.data for layer in sources.layers)


def identify(request: Request) -> Identified:
    """Return the environment's name, folder and files without checking the rest of the configuration.

    Raises `ConfigError` if the main file is missing or the name is invalid.
    """
    sources = collect(request)
    name: Any = None
    for layer in sources.layers:
        name = layer.data.get("name", name)
    if not isinstance(name, str):
        name = sources.main.name
    if wrong := wrong_as_environment(name):
        origin = next((layer.origin for layer in reversed(sources.layers) if "name" in layer.data), "")
        raise ConfigError([Fault(origin, "name", wrong)])
    return Identified(called(name, sources, request), sources.main.root, sources.files)


def collect(request: Request) -> Sources:
    """Return all layers: extended files, the main file, overlays, the local override, `--set`, flags and variables.

    Raises `ConfigError` if the main file cannot be found; the result lists all other faults.
    """
    try:
        sources = Sources(main_file(request))
    except NotFoundError as error:
        raise ConfigError([Fault(_asked(request), "", str(error))]) from error
    reader = _Reader(request, sources)
    reader.add(sources.main.file)
    for overlay in request.overlays:
        reader.add_named(overlay, sources.main.file.parent, request.cwd, "--overlay", "")
    for local in _locals(sources.main, request):
        reader.add(local)
    reader.add_flags()
    return sources


def _asked(request: Request) -> str:
    if request.file:
        return "ENVKIT_FILE" if request.file == request.environ.get("ENVKIT_FILE") else "-f"
    return "ENVKIT_PROFILE" if request.profile == request.environ.get("ENVKIT_PROFILE") else "--profile"


def _locals(main: Main, request: Request) -> list[Path]:
    """Return the local override `X.local.yaml` beside `X.yaml`, or an empty list if there is none.

    For a shipped profile the override is the nearest `envkit.local.yaml` in the working directory or above it.
    """
    local = upwards(LOCAL_FILE, request.cwd) if is_shipped(main.file) else main.local
    return [local] if local and local.is_file() else []


class _Reader:
    """Add each file as a layer once, after the layers of the files that it extends."""

    def __init__(self, request: Request, sources: Sources) -> None:
        self.request, self.sources = request, sources
        self.seen: set[Path] = set()
        self.open: list[Path] = []

    def add(self, path: Path) -> None:
        """Add the files that the file extends, then the file, unless it was read already."""
        if path in self.seen:
            return
        self.seen.add(path)
        self.open.append(path)
        origin, parsed = self.shown(path), read(path)
        self.fault(origin, parsed.findings, parsed.broken)
        data = interpolate(parsed.data, self.request.environ)
        self.extend(path, origin, data.pop("extends", None))
        self.sources.layers.append(Layer(origin, path.parent, data, path))
        self.open.pop()

    def extend(self, path: Path, origin: str, extends: Any) -> None:
        """Add the files that the file extends, in their order."""
        names = [extends] if isinstance(extends, str) else extends or []
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self.fault(origin, [(("extends",), "expected a profile's name, a file, or a list of them")], broken=True)
            return
        for name in names:
            self.add_named(name, path.parent, path.parent, origin, "extends", path)

    def add_named(
        self, name: str, beside: Path, relative_to: Path, origin: str, key: str, but: Path | None = None
    ) -> None:
        """Add the file that `name` means. Record a fault if it is missing, extends itself, or the chain is too long."""
        keys = (key,) if key else ()
        try:
            path = named(name, beside, relative_to, but)
        except NotFoundError as error:
            self.fault(origin, [(keys, str(error))], broken=True)
            return
        if len(self.open) >= DEEPEST:
            self.fault(origin, [(keys, f"extends more than {DEEPEST} files, one after the other")], broken=True)
            return
        if path in self.open:
            circle = [*self.open[self.open.index(path) :], path]
            shown = " -> ".join(self.shown(step) for step in circle)
            self.fault(origin, [(keys, f"extends itself: {shown}")], broken=True)
            return
        self.add(path)

    def add_flags(self) -> None:
        """Add a layer for each `--set`, then a layer for each key of `COMMAND_LINE` that has a value."""
        for text in self.request.sets:
            data, wrong = parsed_set(text)
            if wrong:
                self.fault("--set", [((), wrong)], broken=True)
            data = interpolate(data, self.request.environ)
            self.sources.layers.append(Layer(f"--set {text.partition('=')[0]}", self.request.cwd, data))
        for key in COMMAND_LINE:
            value = getattr(self.request, key)
            if value is not None:
                layer = Layer(self.request.origin(key), self.request.cwd, {key: value})
                self.sources.layers.append(layer)

    def fault(self, origin: str, findings: Any, broken: bool) -> None:
        """Record faults of the file `origin`; `broken` means that its layer is missing or unusable."""
        found: list[Finding] = list(findings)
        self.sources.faults += [Fault(origin, dotted(keys), message) for keys, message in found]
        self.sources.broken = self.sources.broken or broken

    def shown(self, path: Path) -> str:
        """Return the path for messages: relative if it is below the working directory, else absolute."""
        return str(path.relative_to(self.request.cwd) if path.is_relative_to(self.request.cwd) else path)
