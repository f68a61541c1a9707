"""The networks and images of the fake engine."""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from envkit.base import labels
from envkit.base.errors import EngineError, ImageUnavailable
from envkit.base.owner import Claim, Owner
from envkit.base.waiting import Cancel
from envkit.config.models import Service
from envkit.drivers.supply.build import Recipe

Call = Callable[[str, str], None]


class FakeNetworks:
    """The networks of the fake engine.

    `there` maps the name of each network to the environment in its label, or to an empty
    string if envkit did not make the network.
    """

    def __init__(self, call: Call, claim: Callable[[], Claim]) -> None:
        self._call = call
        self._claim = claim
        self.there: dict[str, str] = {}
        self.owners: dict[str, Owner] = {}

    def exists(self, environment: str) -> bool:
        """Return whether the environment's network exists.

        Raises `EngineError` if a network of that name lacks the environment's label.
        """
        self._call("network exists", environment)
        owner = self.there.get(labels.resource_name(environment))
        if owner is not None and owner != environment:
            raise EngineError(f"a network named {labels.resource_name(environment)} exists and is not envkit's")
        return owner is not None

    def gateway(self, environment: str) -> str:
        """Return this host's address in the network, or an empty string if there is no network."""
        return "172.18.0.1" if labels.resource_name(environment) in self.there else ""

    def owner(self, environment: str) -> Owner | None:
        """Return the owner of the network, None if there is no network."""
        return self.owners.get(environment)

    def create(self, environment: str, owner: Owner, **_marks: str) -> None:
        """Create the network; do nothing if it exists and is ours. Raises `HolderError` if it has another owner."""
        if self.exists(environment):
            self._check(environment)
            return
        self._call("network create", environment)
        self.there[labels.resource_name(environment)] = environment
        self.owners[environment] = owner

    def remove_all(self, environment: str) -> list[str]:
        """Remove every network with the environment's label; return their names.

        Raises `HolderError` if the networks have another owner.
        """
        self._call("network remove", environment)
        self._check(environment)
        gone = [name for name, owner in self.there.items() if owner == environment]
        for name in gone:
            del self.there[name]
        self.owners.pop(environment, None)
        return gone

    def _check(self, environment: str) -> None:
        if environment in self.owners:
            self._claim().check(self.owners[environment], f"the network {labels.resource_name(environment)}")


@dataclass
class FakeImages:
    """The images of the fake engine.

    `there` contains the id of each local image, and `registry` contains the id of each image that can be pulled.
    `declares` contains the volumes of each image, and `files` contains the files of each built image.
    """

    there: dict[str, str] = field(default_factory=dict)
    registry: dict[str, str] = field(default_factory=dict)
    declares: dict[str, Sequence[str]] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    call: Call = lambda _what, _which: None

    def ids(self, references: Sequence[str]) -> dict[str, str]:
        """Return the id of each of the images that is present, by its name."""
        return {reference: self.id_of(reference) for reference in references if self.id_of(reference)}

    def id_of(self, reference: str) -> str:
        """Return the image's id, or an empty string if it is not present."""
        self.call("image", reference)
        return self.there.get(reference, "")

    def lacks(self, _service: Service, reference: str) -> str:
        """Return the reason why the service cannot start with the images that are present; empty if it can."""
        return "" if self.there.get(reference) else f"image {reference} is not here any more"

    def pull_first(
        self,
        candidates: Sequence[str],
        platform: str | None,  # noqa: ARG002  real images use it
        report: Callable[[str], None],
        cancel: Cancel,
    ) -> str:
        """Pull the first candidate in the registry; return its name. Raises `ImageUnavailable` if all are missing."""
        for reference in candidates:
            cancel.check()
            report(f"pulling {reference}")
            self.call("pull", reference)
            if reference in self.registry:
                self.there[reference] = self.registry[reference]
                return reference
        reasons = "\n".join(f"  - {reference}: not found" for reference in candidates)
        raise ImageUnavailable(f"the image cannot be had:\n{reasons}", hint="check the name and the registry")

    def build(self, recipe: Recipe, labels: Mapping[str, str], report: Callable[[str], None], cancel: Cancel) -> str:  # noqa: ARG002  real images use it
        """Build the image and return its name.

        Containers of the image can read the files that its Dockerfile copies with `COPY . FOLDER`.
        """
        self.call("build", recipe.tag)
        with tarfile.open(fileobj=recipe.open_context(report, cancel)) as tar:
            content = {it.name: opened.read() for it in tar if (opened := tar.extractfile(it))}
        dockerfile = content.get(recipe.dockerfile, b"").decode()
        if re.search(r"^RUN false$", dockerfile, re.MULTILINE):
            raise ImageUnavailable(f"building {recipe.tag} failed: false ended with 1", detail="RUN false")
        copied = re.search(r"^COPY \. (\S+)$", dockerfile, re.MULTILINE)
        if copied:
            self.files[recipe.tag] = {f"{copied[1]}/{name}": data for name, data in content.items()}
        self.there[recipe.tag] = "sha256:" + hashlib.sha256(repr(sorted(content.items())).encode()).hexdigest()
        return recipe.tag
