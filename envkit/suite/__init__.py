"""Helpers for test suites: plain functions, and a pytest plugin (`-p envkit.suite`) with fixtures named `envkit_...`.

A module imports redis, psycopg or prometheus_client only when it uses the library. The extra
`envkit-orchestrator[suite]` installs these libraries.
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
"""The plugins that pytest loads for the option `-p envkit.suite`."""
