"""What a bootstrapped cluster must contain. A separate module, because an `up` with nothing to do must not import the
bootstrap.
"""

from __future__ import annotations

from collections.abc import Mapping

from envkit.config.models import Cluster, Identity
from envkit.drivers.clusters.api import Wanted
from envkit.planning.fingerprint import bootstrap_fingerprint


def wanted(cluster: Cluster) -> Wanted:
    """Return namespaces, ServiceAccounts and the fingerprint of the whole bootstrap, without parsing a manifest."""
    return Wanted(frozenset(cluster.namespaces), accounts(cluster.identities), bootstrap_fingerprint(cluster))


def accounts(identities: Mapping[str, Identity]) -> frozenset[tuple[str, str]]:
    """Return namespace and name of every ServiceAccount."""
    return frozenset((identity.namespace, identity.account or name) for name, identity in identities.items())
