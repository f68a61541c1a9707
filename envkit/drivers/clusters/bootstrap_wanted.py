"""Lists the objects that a cluster must contain after its bootstrap.

This is a separate module because an `up` with nothing to do must not import the module `bootstrap`.
"""

from __future__ import annotations

from collections.abc import Mapping

from envkit.config.models import Cluster, Identity
from envkit.drivers.clusters.api import Wanted
from envkit.planning.fingerprint import bootstrap_fingerprint


def wanted(cluster: Cluster) -> Wanted:
    """Return the configured namespaces and ServiceAccounts and the bootstrap's fingerprint; parses no manifest."""
    return Wanted(frozenset(cluster.namespaces), accounts(cluster.identities), bootstrap_fingerprint(cluster))


def accounts(identities: Mapping[str, Identity]) -> frozenset[tuple[str, str]]:
    """Return the namespace and the name of the ServiceAccount of every identity."""
    return frozenset((identity.namespace, identity.account or name) for name, identity in identities.items())
