"""The registry of extensions: one table for each kind of extension, which maps names to modules.

One line in this file registers a new module. envkit imports a module only when it is used, so a long table costs no
time. Lower layers use the names in these tables and import nothing from the modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

EXPORT_FORMATS = {
    "dotenv": "envkit.inventory.formats.dotenv",
    "shell": "envkit.inventory.formats.shell",
    "json": "envkit.inventory.formats.json",
}
"""`env --format NAME`: modules with `render(variables) -> str`."""

PRESETS = {
    "redis": "envkit.config.presets.redis",
    "postgres": "envkit.config.presets.postgres",
    "datastorage": "envkit.config.presets.datastorage",
}
"""`services.NAME.preset`: modules with a `PRESET`, see `config.presets.Preset`."""


class ClusterEntry(NamedTuple):
    """A kind of cluster. `nodes` is true if its nodes are containers in the environment's network."""

    module: str
    nodes: bool = False


CLUSTERS = {
    "kind": ClusterEntry("envkit.drivers.clusters.kind", nodes=True),
    "envtest": ClusterEntry("envkit.drivers.clusters.parts"),
}
"""`cluster: {type: NAME}`: modules with a `KIND`, see `drivers.clusters.base.ClusterKind`."""

NO_CLUSTER = "none"

CONTAINERS, PROCESSES = "containers", "processes"
"""Names of the runtimes."""


class RuntimeEntry(NamedTuple):
    """A runtime. `processes` is true if it runs services as processes, which listen directly on ports of this host."""

    module: str
    processes: bool = False


RUNTIMES = {
    CONTAINERS: RuntimeEntry("envkit.drivers.runtimes.on_engine"),
    PROCESSES: RuntimeEntry("envkit.drivers.runtimes.on_this_host", processes=True),
}
"""Runtimes for services: modules with a `RUNTIME`, see `drivers.runtimes.base.RuntimeKind`."""


class LaneEntry(NamedTuple):
    """A lane: a runtime for services and a kind of cluster that are used together."""

    runtime: str
    cluster: str


LANES = {
    "containers": LaneEntry(CONTAINERS, "kind"),
    "mixed": LaneEntry(CONTAINERS, "envtest"),
    "embedded": LaneEntry(PROCESSES, "envtest"),
}
"""`lane: NAME`: the lanes, each with its runtime and its kind of cluster."""

PROBES = {
    "http": "envkit.drivers.probes.http",
    "tcp": "envkit.drivers.probes.tcp",
    "redis": "envkit.drivers.probes.redis",
    "postgres": "envkit.drivers.probes.postgres",
    "exec": "envkit.drivers.probes.exec",
    "command": "envkit.drivers.probes.command",
    "audit": "envkit.drivers.probes.audit",
}
"""`probe: {type: NAME}`: modules with a `PROBE`, see `config.probes.ProbeModel`."""

STORES = {
    "redis": "envkit.drivers.stores.redis",
    "postgres": "envkit.drivers.stores.postgres",
}
"""Services that store data of test suites, by the type of their probe: modules with a `STORE`.

See `drivers.stores.Store`.
"""

COLLECTORS = (
    "envkit.evidence.collectors.records",
    "envkit.evidence.collectors.services",
    "envkit.evidence.collectors.stores",
    "envkit.evidence.collectors.cluster",
    "envkit.evidence.collectors.host",
)
"""Evidence collectors, in the order of their use: modules with `COLLECTORS`, see `evidence.collectors.Collector`."""

CHECKS = (
    "envkit.doctor.engines",
    "envkit.doctor.cluster",
    "envkit.doctor.programs",
    "envkit.doctor.resources",
    "envkit.doctor.network_checks",
)
"""Checks of `doctor`, in this order: modules with `CHECKS`.

Each check is a pair of a name and a function that takes the host and returns findings.
"""


CI_SERVICES = {
    "github": ("GITHUB_ACTIONS", "envkit.ci.github"),
    "gitlab": ("GITLAB_CI", "envkit.ci.gitlab"),
    "plain": ("CI", "envkit.ci.plain"),
}
"""CI services. Each name maps to a variable that is true in the service's jobs, and to a module.

envkit uses the first service whose variable is true, unless `ENVKIT_CI` selects another.

A module has `platform(environ, say, as_json=...)`, see `ci.platform.Platform`, and `identity(environ, said)`, which
returns the `base.ci_job.Identity` of the job. `said` is the value of `ENVKIT_JOB`.
"""


VERBS = {
    "up": "envkit.cli.verbs.up",
    "run": "envkit.cli.verbs.run",
    "env": "envkit.cli.verbs.env",
    "shell": "envkit.cli.verbs.shell",
    "reset": "envkit.cli.verbs.reset",
    "restart": "envkit.cli.verbs.restart",
    "pause": "envkit.cli.verbs.pause",
    "down": "envkit.cli.verbs.down",
    "plan": "envkit.cli.verbs.plan",
    "status": "envkit.cli.verbs.status",
    "logs": "envkit.cli.verbs.logs",
    "timeline": "envkit.cli.verbs.timeline",
    "gather": "envkit.cli.verbs.gather",
    "doctor": "envkit.cli.verbs.doctor",
    "list": "envkit.cli.verbs.list",
    "prune": "envkit.cli.verbs.prune",
    "images": "envkit.cli.verbs.images",
    "load": "envkit.cli.verbs.load",
    "init": "envkit.cli.verbs.init",
    "completion": "envkit.cli.verbs.completion",
}
"""Commands, in the order of the help: modules with a `VERB`, see `cli.verb.Verb`."""


def runs_processes(lane: str) -> bool:
    """Return whether the lane's runtime runs services as processes of this host; False for an unknown lane."""
    return lane in LANES and RUNTIMES[LANES[lane].runtime].processes


def has_nodes(cluster_type: str) -> bool:
    """Return whether clusters of that type have nodes; False for an unknown type."""
    return cluster_type in CLUSTERS and CLUSTERS[cluster_type].nodes


def module(table: Mapping[str, str], name: str) -> ModuleType:
    """Import and return the module that is registered under the name. Raises `KeyError` for an unknown name."""
    return import_module(table[name])
