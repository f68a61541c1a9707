"""What a suite needs to be called back: what calls this host, what its listener binds, a certificate for it."""

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
    """Address and listening address; with a cluster, whose webhooks want TLS, the folder of a certificate as well."""
    host = drivers.this_host()
    if not host.address:
        return {}
    found = {ADDRESS: host.address, LISTEN: host.listen}
    if environment.cluster.wanted and paths.kubeconfig.exists():
        found[CERTIFICATES] = str(_certificates(paths, host))
    return found


def _certificates(paths: Paths, host: ThisHost) -> Path:
    """The folder, with tls.crt, tls.key and ca.crt in it: the names that Kubernetes gives them."""
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
