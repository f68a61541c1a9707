"""How fast `up` is, against kind's own defaults, in one run: `python -m tests.bench.up --rounds 3 --engine docker`.

Not a timed test: machines are noisy, ratios within one run are what counts. Needs an engine, kind, and images that are
present (with `--overlay standins` where no registry can be reached). Loopback only; removes what it makes.
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
    """Seconds that a command took. Raises with its output when it fails."""
    began = time.monotonic()
    told = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", **environ}  # bytecode is kept, as on everybody's machine
    done = subprocess.run(argv, capture_output=True, text=True, env=told, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.monotonic() - began


class Bench:
    """One engine's commands, with a state directory of their own."""

    def __init__(self, engine: str, overlay: str, state: str) -> None:
        self.options = ["--engine", engine, "--name", NAME, "--port-offset", "7000"]
        self.environ = {"ENVKIT_STATE_DIR": state, "ENVKIT_OVERLAY": overlay, "KIND_EXPERIMENTAL_PROVIDER": engine}
        self.kubeconfig = f"{state}/kind-default"

    def envkit(self, *words: str) -> float:
        """A command of envkit's, for the benchmark's own environment."""
        return timed([str(ROOT / "dev"), *words, *self.options], **self.environ)

    def kind(self, *words: str) -> float:
        """A command of kind's."""
        return timed(["kind", *words, "--name", "bench-default", "--kubeconfig", self.kubeconfig], **self.environ)

    def kind_defaults(self, image: str) -> float:
        """`kind create cluster --wait` with kind's own defaults, nothing else."""
        try:
            return self.kind("create", "cluster", "--image", image, "--wait", "180s")
        finally:
            self.kind("delete", "cluster")

    def cold(self) -> float:
        """Everything of the gateway profile, from nothing to proved."""
        try:
            return self.envkit("up")
        finally:
            self.envkit("down")


def several(rounds: int, run: Callable[[], float]) -> list[float]:
    """The same, several times."""
    return [run() for _ in range(rounds)]


def row(what: str, seconds: Sequence[float], extra: str = "") -> None:
    """One line of the table: median, least, most."""
    middle = statistics.median(seconds)
    print(f"| {what} | {middle:.2f} s | {min(seconds):.2f}-{max(seconds):.2f} s | {extra} |", flush=True)


def everyday(envkit: Callable[..., float], rounds: int) -> None:
    """What is done many times a day with an environment that is up; a pause and the `up` after it alternate."""
    row("up with nothing to do", several(rounds, lambda: envkit("up")))
    row("env", several(rounds, lambda: envkit("env")))
    held = [(envkit("pause"), envkit("up")) for _ in range(rounds)]
    row("pause", [pause for pause, _ in held])
    row("up of a paused environment, all probes passed", [resumed for _, resumed in held])
    row("reset", several(rounds, lambda: envkit("reset")))


def main() -> None:
    """Measure and print a table as docs/benchmarks.md holds it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, choices=range(1, 11))
    parser.add_argument("--engine", default="docker", choices=["docker", "podman"])
    parser.add_argument("--overlay", default=os.environ.get("ENVKIT_OVERLAY", "standins"))
    parser.add_argument("--node-image", default=NODE)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="envkit-bench-") as state:
        measure(Bench(chosen.engine, chosen.overlay, state), chosen.rounds, chosen.node_image)


def measure(bench: Bench, rounds: int, image: str) -> None:
    """Cold runs alternate, so that both meet the same machine; one warm-up builds the image that `up` needs."""
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
