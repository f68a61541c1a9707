"""Benchmark the embedded lane against bare etcd and kube-apiserver in one run: `python -m tests.bench.embedded`.

This is not a test with a time limit: machines are noisy, and only ratios within one run count. The benchmark starts the
bare pair with the flags and certificates of `up`, and measures until /readyz succeeds. `up` also starts controllers,
PostgreSQL, Redis and DataStorage, runs the bootstrap, and probes all of them. It needs KUBEBUILDER_ASSETS, or programs
that envkit finds. It uses loopback only and removes what it makes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from envkit.base.paths import Paths, cache_home
from envkit.base.ports import accepts
from envkit.config.models import Environment
from envkit.config.names import APISERVER, ETCD
from envkit.drivers.clusters.api import Api
from envkit.drivers.clusters.envtest import Envtest
from envkit.drivers.lanes import finalize_for_lane
from envkit.drivers.runtimes.base import Unit
from envkit.drivers.runtimes.launching import Launching
from envkit.drivers.runtimes.spawning import environ_of
from envkit.drivers.supply.programs import Programs
from envkit.planning import desired
from tests.bench.up import ROOT, everyday, row, timed

DEADLINE = 120.0
"""Deadline of the bare pair in seconds."""


class Bare:
    """Bare etcd and kube-apiserver.

    Certificates and programs exist before the clock starts.
    """

    def __init__(self, home: Path) -> None:
        wanted = Environment.model_validate({"name": "bench-bare", "root": str(home), "cluster": {"type": "envtest"}})
        self.paths = Paths(home, wanted.name)
        self.environment = finalize_for_lane(wanted, "embedded", self.paths, make=True)
        self.programs = Programs(self.environment.services, os.environ, cache_home(os.environ))
        self.port = self._host_port(APISERVER)
        Envtest(self.environment, self.paths).write_kubeconfig(self.port)

    def _host_port(self, name: str) -> int:
        port = next(iter(self.environment.services[name].ports.values())).host
        assert isinstance(port, int)
        return port

    def seconds(self) -> float:
        """Return the seconds from the start to a successful /readyz."""
        started: list[subprocess.Popen[bytes]] = []
        with tempfile.TemporaryDirectory(prefix="envkit-bare-") as home:
            began = time.monotonic()
            try:
                started.append(self._start(ETCD, Path(home)))
                self._until(lambda: accepts(self._host_port(ETCD)), started)
                started.append(self._start(APISERVER, Path(home)))
                self._until(lambda: accepts(self.port), started)
                api = Api.of(self.paths.kubeconfig)
                self._until(lambda: api.readyz() is None, started)
                return time.monotonic() - began
            finally:
                for process in started:
                    process.kill()
                    process.wait()

    def _start(self, name: str, home: Path) -> subprocess.Popen[bytes]:
        service = desired.resolve_for_container(self.environment, name, self.paths)
        assert service.process is not None
        folder = home / name
        folder.mkdir()
        unit = Unit("bench-bare", str(home), name, service, service.process.reference, "")
        launch = Launching(self.programs, cache_home(os.environ))(unit, folder)
        words = [word.replace(str(self.paths.services / name), str(folder)) for word in launch.argv]
        with (folder / "log").open("wb") as log:
            return subprocess.Popen(words, stdout=log, stderr=log, env=environ_of(launch), cwd=folder)

    def _until(self, ready: Callable[[], bool], started: Sequence[subprocess.Popen[bytes]]) -> None:
        deadline = time.monotonic() + DEADLINE
        while not ready():
            if time.monotonic() > deadline or any(process.poll() is not None for process in started):
                raise SystemExit("the bare pair did not become ready")
            time.sleep(0.01)


class Embedded:
    """The default profile in the embedded lane, with a separate state directory."""

    def __init__(self, state: str) -> None:
        self.options = ["--lane", "embedded", "--name", "bench-embedded", "--port-offset", "7000"]
        self.environ = {"ENVKIT_STATE_DIR": state}

    def __call__(self, *words: str) -> float:
        """Run a command of envkit and return its seconds."""
        return timed([str(ROOT / "dev"), *words, *self.options], **self.environ)

    def cold(self) -> float:
        """Return the seconds of an `up` of the whole profile from nothing."""
        try:
            return self("up")
        finally:
            self("down")


def main() -> None:
    """Measure, and print a table in the format of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, choices=range(1, 11))
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="envkit-bench-") as state:
        measure(Bare(Path(state) / "bare"), Embedded(f"{state}/embedded"), rounds)


def measure(bare: Bare, embedded: Embedded, rounds: int) -> None:
    """Alternate cold runs, so that both meet the same machine load.

    A first run fetches missing programs and runs initdb.
    """
    embedded.cold()
    pairs = [(bare.seconds(), embedded.cold()) for _ in range(rounds)]
    print(f"\nload {os.getloadavg()[0]:.1f}, {rounds} rounds\n\n| what | median | range | |\n|---|---|---|---|")
    row("etcd + kube-apiserver alone, to /readyz", [alone for alone, _ in pairs])
    ratios = [ours / alone for alone, ours in pairs]
    shown = f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
    row("up --lane embedded, cold: everything, proved", [ours for _, ours in pairs], shown)
    embedded("up")
    try:
        everyday(embedded, rounds * 3)
    finally:
        row("down", [embedded("down")])


if __name__ == "__main__":
    main()
