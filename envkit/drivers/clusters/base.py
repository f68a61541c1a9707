"""The interfaces of a cluster: what every kind of cluster does, and abilities that only some kinds have.

A kind of cluster is a module with a `KIND`, registered in `base.registry.CLUSTERS`. Callers check with `able` whether
a cluster has an ability. No code checks which kind a cluster is.
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
    """The current state of a cluster."""

    @property
    def state(self) -> Literal["absent", "running", "paused", "stopped"]:
        """The state of the whole cluster."""

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the cluster's configuration; empty until the cluster's creation has succeeded."""

    @property
    def node_names(self) -> Sequence[str]:
        """The names of the nodes; empty for a cluster without nodes."""

    @property
    def dead(self) -> Sequence[str]:
        """The names of parts that do not run and without which the cluster cannot work."""


class Cluster(Protocol):
    """The cluster of one environment. Its methods raise `ClusterError`, `ToolMissing`, `NotReady` or `Cancelled`."""

    def observe(self) -> Seen:
        """Return the cluster's current state."""

    def prepare(self, cluster: Wanted, report: Report, cancel: Cancel) -> object:
        """Get everything that `create` needs, such as images; change no cluster."""

    def create(
        self, cluster: Wanted, fingerprint: str, report: Report, cancel: Cancel,
        work: Callable[[Path], None] | None = None,
    ) -> object:  # fmt: skip
        """Make the cluster and wait until it is ready.

        Calls `work` with the kubeconfig once the API server is ready.
        """

    def resume(self, report: Report, cancel: Cancel) -> None:
        """Resume a paused cluster, and wait until it works."""

    def delete(self) -> list[str]:
        """Remove the cluster and its files; return the names of what was removed. Does nothing if it does not exist."""


class ChecksTools(Protocol):
    """A kind of cluster that needs programs of this host."""

    def check_tools(self) -> None:
        """Raise `ToolMissing` or `ClusterError` if one of the programs cannot be used."""


class Pauses(Protocol):
    """A kind of cluster with parts that are not services, and that envkit can pause."""

    def pause(self) -> None:
        """Pause the cluster: it uses no processor time until `resume`."""


class RestoresKubeconfig(Protocol):
    """A kind of cluster that can write the administrator's kubeconfig again."""

    def restore_kubeconfig(self) -> None:
        """Write the kubeconfig if it is lost or if it can be out of date."""


class MadeOfServices(Protocol):
    """A kind of cluster that consists of services of the environment."""

    def before(self, part: str, cancel: Cancel) -> None:
        """Wait for everything that must be ready before this part starts."""


class RunsPods(Protocol):
    """A kind of cluster with nodes, which run pods and store images."""

    def bring_in(self, wanted: Sequence[str], report: Report, cancel: Cancel) -> dict[str, tuple[str, list[str]]]:
        """Load local images into the nodes; return for each image its id and the nodes that lacked it."""

    def node_images(self, cluster: Wanted) -> list[str]:
        """Return the names of the images from which the nodes are made."""

    def usage(self) -> Usage:
        """Return the memory and the processor time of this machine that the nodes use together."""

    def began(self) -> str:
        """Return the start time of the first node, in the engine's format; empty if unknown."""

    def export_logs(self, folder: Path, cancel: Cancel) -> None:
        """Write the logs and the state of the nodes into a folder."""


class NeedsProgram(Protocol):
    """A kind of cluster that a program of this host makes, such as kind."""

    def program_version(self) -> str:
        """Return the program's output about its version."""


@dataclass(frozen=True)
class Opening:
    """The values with which a kind of cluster opens the cluster of an environment."""

    environment: Environment
    paths: Paths
    endpoint: Endpoint | None
    runtime: Any
    environ: Mapping[str, str]
    cache: Path
    lacking: Callable[[str], str]


@dataclass(frozen=True)
class ClusterKind:
    """One kind of cluster.

    `open` returns the cluster of an environment and has no side effects. `expand` returns the environment with the
    cluster's parts as services; if its last argument is true, it also makes their files. `without` maps each optional
    part to a description of what does not work if this machine lacks the part. A kind with nodes also has `remains`
    and `node_label`. `remains` takes the name of an environment, its paths and a runtime; it returns the nodes of the
    environment's cluster, or None if that runtime cannot have nodes. `node_label` is the label of the nodes whose value
    is the cluster's name.
    """

    open: Callable[[Opening], Cluster]
    expand: Callable[[Environment, Paths, bool], Environment] | None = None
    without: Mapping[str, str] | None = None
    remains: Callable[[str, Paths, Any], Remains | None] | None = None
    node_label: str = ""


class Remains(Protocol):
    """The nodes of an environment's cluster, complete or left by a failed creation."""

    def names(self) -> list[str]:
        """Return the names of the nodes."""

    def delete(self) -> list[str]:
        """Remove the nodes and the cluster's files; return the names of the removed nodes."""


def every_kind() -> list[ClusterKind]:
    """Return every kind of cluster."""
    return [kind_of(name) for name in registry.CLUSTERS]


def kind_of(cluster_type: str) -> ClusterKind:
    """Return the kind of cluster with that name. Raises `KeyError`."""
    found: ClusterKind = registry.module({cluster_type: registry.CLUSTERS[cluster_type].module}, cluster_type).KIND
    return found
