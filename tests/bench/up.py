"""Benchmark `up` against kind's defaults in one run: `python -m tests.bench.up --rounds 3 --engine docker`.

This is not a test with a time limit: machines are noisy, and only ratios within one run count. It needs an engine, kind
and present images; use `--overlay standins` on a machine that reaches no registry. It uses loopback only and removes
what it makes.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NODE = "docker.io/kindest/node:v1.20.2"
NAME = "bench"


def timed(argv: Sequence[str], **environ: str) -> float:
    """Run a command and return its seconds; exit with its output if it fails."""
    began = time.monotonic()
    told = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", **environ}  # python keeps bytecode, as on users' machines
    done = subprocess.run(argv, capture_output=True, text=True, env=told, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.monotonic() - began


class Bench:
    """Commands for one engine, with a separate state directory."""

    def __init__(self, engine: str, overlay: str, state: str) -> None:
        self.options = ["--engine", engine, "--name", NAME, "--port-offset", "7000"]
        self.environ = {"ENVKIT_STATE_DIR": state, "ENVKIT_OVERLAY": overlay, "KIND_EXPERIMENTAL_PROVIDER": engine}
        self.kubeconfig = f"{state}/kind-default"

    def envkit(self, *words: str) -> float:
        """Run a command of envkit on the benchmark's environment and return its seconds."""
        return timed([str(ROOT / "dev"), *words, *self.options], **self.environ)

    def kind(self, *words: str) -> float:
        """Run a command of kind and return its seconds."""
        return timed(["kind", *words, "--name", "bench-default", "--kubeconfig", self.kubeconfig], **self.environ)

    def kind_defaults(self, image: str) -> float:
        """Return the seconds of `kind create cluster --wait` with kind's defaults."""
        try:
            return self.kind("create", "cluster", "--image", image, "--wait", "180s")
        finally:
            self.kind("delete", "cluster")

    def cold(self) -> float:
        """Return the seconds of an `up` of the whole gateway profile from nothing."""
        try:
            return self.envkit("up")
        finally:
            self.envkit("down")


def several(rounds: int, run: Callable[[], float]) -> list[float]:
    """Return the results of several runs."""
    return [run() for _ in range(rounds)]


def row(what: str, seconds: Sequence[float], extra: str = "") -> None:
    """Print one row of the table: median, minimum, maximum."""
    middle = statistics.median(seconds)
    print(f"| {what} | {middle:.2f} s | {min(seconds):.2f}-{max(seconds):.2f} s | {extra} |", flush=True)


def everyday(envkit: Callable[..., float], rounds: int) -> None:
    """Measure the everyday commands on an environment that is up; each pause is followed by an `up`."""
    row("up with nothing to do", several(rounds, lambda: envkit("up")))
    row("env", several(rounds, lambda: envkit("env")))
    held = [(envkit("pause"), envkit("up")) for _ in range(rounds)]
    row("pause", [pause for pause, _ in held])
    row("up of a paused environment, all probes passed", [resumed for _, resumed in held])
    row("reset", several(rounds, lambda: envkit("reset")))


def main() -> None:
    """Measure, and print a table in the format of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, choices=range(1, 11))
    parser.add_argument("--engine", default="docker", choices=["docker", "podman"])
    parser.add_argument("--overlay", default=os.environ.get("ENVKIT_OVERLAY", "standins"))
    parser.add_argument("--node-image", default=NODE)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="envkit-bench-") as state:
        measure(Bench(chosen.engine, chosen.overlay, state), chosen.rounds, chosen.node_image)


def measure(bench: Bench, rounds: int, image: str) -> None:
    """Alternate cold runs, so that both meet the same machine load.

    A first run builds the image that `up` needs.
    """
    bench.cold()
    pairs = [(bench.kind_defaults(image), bench.cold()) for _ in range(rounds)]
    print(f"\nload {os.getloadavg()[0]:.1f}, {rounds} rounds\n\n| what | median | range | |\n|---|---|---|---|")
    row("kind create cluster --wait, kind's defaults, the cluster alone", [kind for kind, _ in pairs])
    ratios = [ours / kind for kind, ours in pairs]
    shown = f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
    row("up, cold: cluster, services, bootstrap, all proved", [ours for _, ours in pairs], shown)
    bench.envkit("up")
    try:
        everyday(bench.envkit, rounds * 3)
    finally:
        row("down", [bench.envkit("down")])
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
    print(f"\nlargest process, kind's and envkit's together: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
