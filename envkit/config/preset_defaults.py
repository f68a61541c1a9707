"""The lowest layer of a configuration: expanded presets, generated passwords, and the cluster's default exports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from envkit.config import presets
from envkit.config.interpolate import Broken
from envkit.config.merge import Keys, Merged
from envkit.config.models import Cluster
from envkit.config.names import did_you_mean
from envkit.config.typed import parsed

GENERATED = "generated"
"""Value of `credentials` with which presets use generated passwords."""


@dataclass
class Floor:
    """The defaults below all layers. `origins` maps each service to the file that names its preset."""

    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    cluster: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    """Names of generated passwords, each with the file that sets `credentials`."""

    def lay_missing(self, merged: Merged) -> None:
        """Add the defaults that `merged` lacks, first and again after each layer, because a layer can delete them."""
        for name, service in self.services.items():
            if name not in merged.data.get("services", {}):
                merged.lay({"services": {name: service}}, self.origins[name])
        for name, origin in self.secrets.items():
            if name not in (merged.data.get("secrets") or {}):
                merged.lay({"secrets": {name: {}}}, origin)
        if self.cluster and "cluster" not in merged.data:
            merged.lay({"cluster": self.cluster}, "envkit")


def preset_defaults(wanted: Merged) -> tuple[Floor, dict[Keys, str]]:
    """Return the presets of the merged layers, expanded with their options, and the faults of names and options."""
    beneath, findings = Floor(), dict[Keys, str]()
    services = wanted.data.get("services")
    for name, service in services.items() if isinstance(services, dict) else ():
        if isinstance(service, dict) and "preset" in service:
            origin = wanted.origin(("credentials",)) if wanted.data.get("credentials") == GENERATED else ""
            secret = f"{name}-password" if origin and _takes_password(service) else ""
            expansion, wrong = _expansion(service, secret)
            if secret:
                beneath.secrets[secret] = origin
            findings.update({("services", name, *keys): message for keys, message in wrong.items()})
            beneath.services[name] = expansion
            beneath.origins[name] = wanted.origin(("services", name, "preset"))
    if isinstance(wanted.data.get("cluster"), dict):
        beneath.cluster = {"exports": dict(Cluster.model_fields["exports"].default)}
    return beneath, findings


def _takes_password(service: dict[str, Any]) -> bool:
    """Return whether the service's preset has a password option and the configuration sets no password."""
    word, options = service["preset"], service.get("options")
    known = (
        isinstance(word, str) and word in presets.names() and "password" in presets.preset(word).options.model_fields
    )
    return known and not (isinstance(options, dict) and options.get("password"))


def _expansion(service: dict[str, Any], secret: str) -> tuple[dict[str, Any], dict[Keys, str]]:
    """Return the preset's service, and the faults of the preset's name and options.

    `secret` is the name of the generated password, or empty if there is none.
    """
    word, options = service["preset"], service.get("options", {})
    if isinstance(word, Broken):
        return {}, {}
    if not isinstance(word, str) or word not in presets.names():
        known = ", ".join(presets.names())
        return {}, {("preset",): f"expected one of {known}; found '{word}'{did_you_mean(str(word), presets.names())}"}
    preset = presets.preset(word)
    typed = parsed(preset.options, options if isinstance(options, dict) else {})
    own = typed.value or preset.options()
    if secret:
        own = own.model_copy(update={"password": f"${{secret.{secret}}}"})
    wrong = {("options", *keys): message for keys, message in typed.findings.items()}
    return presets.expanded(preset, own, service), wrong
