"""A kind of cluster: envtest's, under another name."""

from __future__ import annotations

from envkit.drivers.clusters.base import ClusterKind
from envkit.drivers.clusters.parts import expanded, opened

KIND = ClusterKind(opened, expanded)
