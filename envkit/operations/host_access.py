"""Make a test suite reachable for services: give it this host's address, the address to bind, and a certificate."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from envkit.base.paths import write_private
from envkit.drivers.runtimes.this_host import ALIAS
from envkit.planning.values import authority_file

if TYPE_CHECKING:
    from envkit.base.paths import Paths
    from envkit.config.models import Environment
    from envkit.inventory.drivers import Drivers
    from envkit.planning.values import ThisHost

ADDRESS, LISTEN, CERTIFICATES = "ENVKIT_HOST_ADDRESS", "ENVKIT_HOST_LISTEN", "ENVKIT_HOST_CERTIFICATES"


def variables(environment: Environment, paths: Paths, drivers: Drivers) -> dict[str, str]:
    """Return variables with the address of this host, the address to bind, and the folder of a certificate.

    Only an environment with a cluster has the folder, because webhooks of a cluster require TLS. If services cannot
    reach this host, there are no variables.
    """
    host = drivers.this_host()
    if not host.address:
        return {}
    found = {ADDRESS: host.address, LISTEN: host.listen}
    if environment.cluster.wanted and paths.kubeconfig.exists():
        found[CERTIFICATES] = str(_certificates(paths, host))
    return found


def _certificates(paths: Paths, host: ThisHost) -> Path:
    """Write tls.crt, tls.key and ca.crt, as Kubernetes names them, into a folder, and return the folder."""
    from envkit.drivers.clusters.pki import Pki

    pki = Pki(authority_file(paths).parent)
    names = list(dict.fromkeys([host.address, host.listen, ALIAS, "localhost", "127.0.0.1"]))
    digest = hashlib.sha256(repr(names).encode()).hexdigest()[:8]
    certificate, key = pki.server(f"host-{digest}", names)
    folder = paths.folder / "host"
    for name, source in (("tls.crt", certificate), ("tls.key", key), ("ca.crt", pki.ca)):
        path, text = folder / name, source.read_text()
        if not path.exists() or path.read_text() != text:
            write_private(path, text)
    return folder
