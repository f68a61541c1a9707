"""A toy evidence collector."""

from __future__ import annotations

from envkit.evidence.collectors.context import CollectionContext, Collector


def toys(scene: CollectionContext) -> None:
    scene.bundle.text("toys.txt", f"toys of {scene.environment.name}\n")


COLLECTORS = (Collector("toys", toys, 5),)
