"""The layers of a configuration, lowest first, read from every file it names; no typed model yet, and fast."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envkit.base.errors import ConfigError, Fault
from envkit.config.interpolate import interpolated
from envkit.config.lookup import LOCAL_FILE, Main, NotFoundError, main_file, named, upwards
from envkit.config.merge import dotted
from envkit.config.names import wrong_as_environment
from envkit.config.request import COMMAND_LINE, Request
from envkit.config.sets import parsed_set
from envkit.config.shipped import checkout_of, is_shipped
from envkit.config.yamlfile import Finding, read

DEEPEST = 30
"""Files that extend one another, one after the other."""


@dataclass(frozen=True)
class Layer:
    """One file's (or flag's) mapping: `origin` is what messages call it, `folder` what its paths are relative to."""

    origin: str
    folder: Path
    data: dict[str, Any]
    file: Path | None = None


@dataclass
class Sources:
    """All layers, and what was wrong with reading them; `broken` when a layer is missing."""

    main: Main
    layers: list[Layer] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    broken: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        """The files, the last one wins."""
        return tuple(str(layer.file) for layer in self.layers if layer.file)


@dataclass(frozen=True)
class Identified:
    """Whose environment is meant: its name, the folder that holds it, and the files it is made from."""

    name: str
    root: Path
    files: tuple[str, ...]

    @property
    def checkout(self) -> str:
        """The folder that the environment belongs to; empty when it is made from shipped profiles alone."""
        return checkout_of(self.files, str(self.root))


def called(name: str, sources: Sources, request: Request) -> str:
    """The name, in a CI job with the job's own part; a name on the command line or in a variable is taken as it is."""
    return request.job.name(name) if request.job and not _given(sources) else name


def named_by_job(request: Request) -> bool:
    """Whether the environment's name comes from the CI job: it was given neither as an option nor in a variable."""
    return request.job is not None and not _given(collect(request))


def _given(sources: Sources) -> bool:
    return any(layer.file is None and "name" in layer.data for layer in sources.layers)


def identify(request: Request) -> Identified:
    """The name, without judging the rest. Raises `ConfigError` when the file or the name cannot be had."""
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
    """Read every layer: what the file extends, the file, overlays, the local override, `--set` and flags.

    Raises `ConfigError` when the file itself cannot be found; all else is a fault of the result.
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
    """`X.local.yaml` beside `X.yaml`; a shipped profile is overridden from the user's own folders."""
    local = upwards(LOCAL_FILE, request.cwd) if is_shipped(main.file) else main.local
    return [local] if local and local.is_file() else []


class _Reader:
    """Reads files once each, what they extend before them."""

    def __init__(self, request: Request, sources: Sources) -> None:
        self.request, self.sources = request, sources
        self.seen: set[Path] = set()
        self.open: list[Path] = []

    def add(self, path: Path) -> None:
        """The file and what it extends, unless it is there already."""
        if path in self.seen:
            return
        self.seen.add(path)
        self.open.append(path)
        origin, parsed = self.shown(path), read(path)
        self.fault(origin, parsed.findings, parsed.broken)
        data = interpolated(parsed.data, self.request.environ)
        self.extend(path, origin, data.pop("extends", None))
        self.sources.layers.append(Layer(origin, path.parent, data, path))
        self.open.pop()

    def extend(self, path: Path, origin: str, extends: Any) -> None:
        """Add what the file extends, in order."""
        names = [extends] if isinstance(extends, str) else extends or []
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self.fault(origin, [(("extends",), "expected a profile's name, a file, or a list of them")], broken=True)
            return
        for name in names:
            self.add_named(name, path.parent, path.parent, origin, "extends", path)

    def add_named(
        self, name: str, beside: Path, relative_to: Path, origin: str, key: str, but: Path | None = None
    ) -> None:
        """Add the file that `name` means; a fault when there is none, or when it extends itself."""
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
        """`--set`, then the flags and variables that have a name of their own."""
        for text in self.request.sets:
            data, wrong = parsed_set(text)
            if wrong:
                self.fault("--set", [((), wrong)], broken=True)
            data = interpolated(data, self.request.environ)
            self.sources.layers.append(Layer(f"--set {text.partition('=')[0]}", self.request.cwd, data))
        for key in COMMAND_LINE:
            value = getattr(self.request, key)
            if value is not None:
                layer = Layer(self.request.origin(key), self.request.cwd, {key: value})
                self.sources.layers.append(layer)

    def fault(self, origin: str, findings: Any, broken: bool) -> None:
        """Remember what is wrong."""
        found: list[Finding] = list(findings)
        self.sources.faults += [Fault(origin, dotted(keys), message) for keys, message in found]
        self.sources.broken = self.sources.broken or broken

    def shown(self, path: Path) -> str:
        """As people call it: relative below the working directory, else absolute."""
        return str(path.relative_to(self.request.cwd) if path.is_relative_to(self.request.cwd) else path)
