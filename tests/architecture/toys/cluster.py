"""A toy kind of cluster: the same as envtest, under another name."""

from __future__ import annotations

from envkit.drivers.clusters.base import ClusterKind
from envkit.drivers.clusters.parts import expanded, opened

KIND = ClusterKind(opened, expanded)
