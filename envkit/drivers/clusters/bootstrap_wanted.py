"""What a bootstrapped cluster is recognised by; apart from the bootstrap, whose imports an idle `up` does without."""

from __future__ import annotations

from collections.abc import Mapping

from envkit.config.models import Cluster, Identity
from envkit.drivers.clusters.api import Wanted
from envkit.planning.fingerprint import bootstrap_fingerprint


def wanted(cluster: Cluster) -> Wanted:
    """Namespaces, ServiceAccounts and the fingerprint of it all; no manifest is parsed for it."""
    return Wanted(frozenset(cluster.namespaces), accounts(cluster.identities), bootstrap_fingerprint(cluster))


def accounts(identities: Mapping[str, Identity]) -> frozenset[tuple[str, str]]:
    """Namespace and name of every ServiceAccount."""
    return frozenset((identity.namespace, identity.account or name) for name, identity in identities.items())
