"""The seam of clusters: what each kind can do, and abilities that only some have.

A kind is a module with a `KIND`, registered in `base.registry.CLUSTERS`. Whoever needs a rare ability asks for it with
`able`; nothing asks which kind a cluster is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from envkit.base import registry
from envkit.base.waiting import Cancel
from envkit.config.models import Cluster as Wanted

if TYPE_CHECKING:
    from envkit.base.paths import Paths
    from envkit.config.models import Environment
    from envkit.drivers.engine.endpoint import Endpoint
    from envkit.drivers.runtimes.usage import Usage

Report = Callable[[str], None]


class Seen(Protocol):
    """What there is of a cluster."""

    @property
    def state(self) -> Literal["absent", "running", "paused", "stopped"]:
        """Of all of it together."""

    @property
    def fingerprint(self) -> str:
        """Of what it was made from; empty while its creation has not succeeded."""

    @property
    def nodes(self) -> Sequence[Any]:
        """Its nodes; none where it has no nodes."""


class Cluster(Protocol):
    """The cluster of one environment. Failures are `ClusterError`, `ToolMissing`, `NotReady`, `Cancelled`."""

    def observe(self) -> Seen:
        """Return what there is."""

    def prepare(self, cluster: Wanted, report: Report, cancel: Cancel) -> object:
        """Have all that `create` needs, without a change to any cluster."""

    def create(
        self, cluster: Wanted, fingerprint: str, report: Report, cancel: Cancel,
        work: Callable[[Path], None] | None = None,
    ) -> object:  # fmt: skip
        """Make it and wait until it is ready. `work` gets the kubeconfig as soon as the API server is ready."""

    def resume(self, report: Report, cancel: Cancel) -> None:
        """Let a paused cluster go on, and wait until it works."""

    def delete(self) -> list[str]:
        """Remove it with its files; return the names of what was removed. Gone already is fine."""


class ChecksTools(Protocol):
    """A kind that needs programs of this host."""

    def check_tools(self) -> None:
        """Raise `ToolMissing` or `ClusterError` when one of them cannot be used."""


class Pauses(Protocol):
    """A kind with something to hold beside services."""

    def pause(self) -> None:
        """Hold it: no processor time is used until `resume`."""


class RestoresKubeconfig(Protocol):
    """A kind that can write the admin's kubeconfig again."""

    def restore_kubeconfig(self) -> None:
        """Write it, if it was lost or is not right any more."""


class MadeOfServices(Protocol):
    """A kind whose parts are services of the environment."""

    def before(self, part: str, cancel: Cancel) -> None:
        """Wait for what a part should not be started before."""


class RunsPods(Protocol):
    """A kind with nodes, which run pods and hold images."""

    def bring_in(self, wanted: Sequence[str], report: Report, cancel: Cancel) -> dict[str, tuple[str, list[str]]]:
        """Bring local images into the nodes; return for each its id and the nodes that lacked it."""

    def node_images(self, cluster: Wanted) -> list[str]:
        """Return the images that its nodes are made from."""

    def usage(self) -> Usage:
        """Return what its nodes take of this machine."""

    def began(self) -> str:
        """Return when it was started, as an engine writes it; empty when that cannot be told."""

    def export_logs(self, folder: Path, cancel: Cancel) -> None:
        """Write what is known of its nodes into a folder."""


class NeedsProgram(Protocol):
    """A kind that is made by a program of this host."""

    def program_version(self) -> str:
        """Return what the program says about its version."""


@dataclass(frozen=True)
class Opening:
    """What a kind may need to open the cluster of an environment."""

    environment: Environment
    paths: Paths
    endpoint: Endpoint | None
    runtime: Any
    environ: Mapping[str, str]
    cache: Path
    lacking: Callable[[str], str]


@dataclass(frozen=True)
class ClusterKind:
    """One kind of cluster. `open` touches nothing.

    `expand` returns the environment with the cluster's parts among its services, and makes their files if told to.
    `without` says by part what is missing where this machine cannot have it.
    """

    open: Callable[[Opening], Cluster]
    expand: Callable[[Environment, Paths, bool], Environment] | None = None
    without: Mapping[str, str] | None = None


def kind_of(cluster_type: str) -> ClusterKind:
    """Return the kind of that name. Raises `KeyError`."""
    found: ClusterKind = registry.module({cluster_type: registry.CLUSTERS[cluster_type].module}, cluster_type).KIND
    return found
