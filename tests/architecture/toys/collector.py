"""A toy evidence collector."""

from __future__ import annotations

from envkit.evidence.collectors.scene import Collector, Scene


def toys(scene: Scene) -> None:
    scene.bundle.text("toys.txt", f"toys of {scene.environment.name}\n")


COLLECTORS = (Collector("toys", toys, 5),)
