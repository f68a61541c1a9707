"""Load the configuration of a request: return one frozen, typed `Environment`, or raise one error with all faults.

Layers, lowest first: the files that the main file `extends`, the main file, overlays, the git-ignored local override,
`--set`, flags and `ENVKIT_*`. Only `load` imports the typed model. `identify` does not, because fast commands use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envkit.base.errors import ConfigError, Fault
from envkit.config.interpolate import Broken
from envkit.config.merge import Keys, Merged, dotted, leaves
from envkit.config.names import wrong_as_environment
from envkit.config.prepare import prepare_cluster
from envkit.config.request import Request
from envkit.config.sources import Identified, Layer, Sources, called, collect, identify
from envkit.config.text import unusable

if TYPE_CHECKING:
    from envkit.config.models import Environment

__all__ = ["Identified", "Request", "identify", "load"]

SET_BY_LOADING = ("root", "files", "offset_auto")
"""Keys of the model that `load` sets and that a file must not set."""


def load(request: Request) -> Environment:
    """Return the environment of the request: read all layers, merge, validate and check them.

    Raises `ConfigError` with all faults, each with the file that wrote the value.
    """
    from envkit.config.checks import all_faults
    from envkit.config.models import Environment, Service
    from envkit.config.probe_resolution import resolve_probes
    from envkit.config.typed import parsed

    sources = collect(request)
    if sources.broken:
        raise ConfigError(sources.faults)
    merged, findings = _merged(_layers(sources, request))
    raw = _complete(merged.data, sources, request, findings)
    Service.model_rebuild()  # first, so that `Environment` reuses this schema instead of a second build
    typed = parsed(Environment, raw, also=("extends",))
    findings = {**_less_followers(typed.findings, findings), **findings}
    if typed.value is not None:
        for keys, message in all_faults(typed.value, raw, findings).items():
            findings.setdefault(typed.written(keys), message)
    faults = [*sources.faults, *_faults(findings, merged, sources)]
    if faults or typed.value is None:
        raise ConfigError(faults)
    return resolve_probes(typed.value)


def _layers(sources: Sources, request: Request) -> list[Layer]:
    return [
        Layer(layer.origin, layer.folder, prepare_cluster(layer.data, layer.folder, request.environ), layer.file)
        for layer in sources.layers
    ]


def _merged(layers: list[Layer]) -> tuple[Merged, dict[Keys, str]]:
    """Return the layers merged over the presets that they name, and the faults of the presets.

    The layers are merged twice, because the first merge is needed to find the presets and their options.
    """
    from envkit.config.preset_defaults import preset_defaults
    from envkit.config.probe_layers import drop_former_keys

    wanted = Merged()
    for layer in layers:
        wanted.lay(layer.data, layer.origin)
    beneath, findings = preset_defaults(wanted)
    merged = Merged()
    beneath.lay_missing(merged)
    for layer in layers:
        drop_former_keys(merged.data, layer.data)
        merged.lay(layer.data, layer.origin)
        beneath.lay_missing(merged)
    return merged, findings


def _complete(data: dict[str, Any], sources: Sources, request: Request, findings: dict[Keys, str]) -> dict[str, Any]:
    """Return the merged data with a name, the keys that only envkit sets, and in a CI job a port offset.

    The function adds faults to `findings`: services without a usable image, values that could not be interpolated,
    unusable values, an invalid name, and keys that only envkit sets.
    """
    from envkit.config import candidates

    raw = {key: value for key, value in data.items() if key not in SET_BY_LOADING}
    if "services" in raw:
        raw["services"], without_image = candidates.select_candidates(raw["services"])
        findings.update(without_image)
    findings.update({(key,): "unknown key: envkit sets it itself" for key in SET_BY_LOADING if key in data})
    for keys, value in leaves(raw):
        if wrong := value.message if isinstance(value, Broken) else unusable(keys, value):
            findings[keys] = wrong
    name = raw.setdefault("name", sources.main.name)
    if wrong := wrong_as_environment(str(name)):
        findings.setdefault(("name",), wrong)
        raw["name"] = sources.main.name
    raw["name"] = called(str(raw["name"]), sources, request)
    if request.job:
        raw.setdefault("port_offset", "auto")
    auto = raw.get("port_offset") == "auto"
    return {**raw, "root": str(sources.main.root), "files": list(sources.files), "offset_auto": auto}


def _less_followers(wrong: dict[Keys, str], findings: dict[Keys, str]) -> dict[Keys, str]:
    """Return the faults, without the fault of a whole service that is incomplete because its preset is invalid."""
    incomplete = {keys[:2] for keys in findings if keys[0] == "services" and keys[2:3] == ("preset",)}
    return {keys: message for keys, message in wrong.items() if keys not in incomplete}


def _faults(findings: dict[Keys, str], merged: Merged, sources: Sources) -> list[Fault]:
    main = next((layer.origin for layer in sources.layers if layer.file == sources.main.file), "")
    order = [layer.origin for layer in sources.layers]
    faults = [Fault(merged.origin(keys) or main, dotted(keys), message) for keys, message in findings.items()]
    return sorted(faults, key=lambda fault: (order.index(fault.file) if fault.file in order else 0, fault.path))
