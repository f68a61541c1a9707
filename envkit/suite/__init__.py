"""What test suites import: plain functions, and a pytest plugin (`-p envkit.suite`) with fixtures named `envkit_...`.

Nothing here imports a client library before it is used: redis, psycopg and prometheus_client come with the extra
`envkit-orchestrator[suite]`.
"""

from envkit.base.errors import SuiteError
from envkit.suite.audit import AuditStore
from envkit.suite.environment import Environment
from envkit.suite.eventually import NotWithin, eventually
from envkit.suite.metrics import Registries, safe_register
from envkit.suite.namespaces import create_namespace, delete_namespace, unique_name
from envkit.suite.objects import apply, create_with_retry
from envkit.suite.tokens import Tokens

__all__ = [
    "AuditStore",
    "Environment",
    "NotWithin",
    "Registries",
    "SuiteError",
    "Tokens",
    "apply",
    "create_namespace",
    "create_with_retry",
    "delete_namespace",
    "eventually",
    "safe_register",
    "unique_name",
]

pytest_plugins = ("envkit.suite.plugin",)
"""Read by pytest when this module is given to `-p`; nothing imports it otherwise."""
