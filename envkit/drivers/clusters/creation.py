"""Runs `kind create` in parallel with envkit's own probes. If kind or a probe fails, the other one ends too."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from envkit.base.commands import CommandFailed, Finished
from envkit.base.errors import EnvkitError
from envkit.base.paths import Paths, write_private
from envkit.base.waiting import Cancel, until
from envkit.drivers.clusters import kind_config, kind_errors
from envkit.drivers.clusters.api import Api, Busy
from envkit.drivers.clusters.nodes import ClusterFacts, Nodes

Work = Callable[[Path], None]
NODE_POLL, API_POLL = 0.4, 0.15
"""The longest pauses in seconds between two probes of the nodes, and between two probes of the API server. A probe of
the nodes needs three calls of the engine (on Podman each call starts a process). A probe of the API server
needs one request."""


class Makes(Protocol):
    """The methods of a kind cluster that its creation needs; see `kind.Kind`."""

    paths: Paths

    @property
    def name(self) -> str:
        """The cluster's name in kind."""

    @property
    def nodes(self) -> Nodes:
        """The cluster's nodes."""

    def scratch(self) -> tuple[Path, ...]:
        """Return the temporary files of kind: configuration, kubeconfig, and the kubeconfig's lock."""

    def kind(self, argv: Sequence[str], seconds: float, cancel: Cancel, on_line: Callable[[str], None]) -> Finished:
        """Run kind with these arguments and return its result."""

    def write_kubeconfig(self, facts: ClusterFacts) -> str | None:
        """Write the administrator's kubeconfig; return None, or the reason if that is not possible yet."""


class Creation:
    """One creation of a cluster: `run` performs it once."""

    def __init__(
        self, kind: Makes, seconds: float, config: Mapping[str, Any], report: Callable[[str], None], cancel: Cancel
    ) -> None:
        self.kind, self.config, self.report, self.cancel = kind, config, report, cancel
        self.deadline = time.monotonic() + seconds
        self.stop = Cancel()
        self.lines: list[str] = []
        self.lost = False
        self.finished: Future[Finished]

    def run(self, work: Work | None) -> Future[None]:
        """Run kind, probe the cluster, and run `work` in a thread; return the Future of `work` after all have ended."""
        self.kind.paths.make()
        worked: Future[None] = Future()
        with ThreadPoolExecutor(2, thread_name_prefix="kind") as pool:
            self.finished = pool.submit(self._kind)
            try:
                api = self._api_server()
                if work:
                    worked = pool.submit(work, self.kind.paths.kubeconfig)
                else:
                    worked.set_result(None)
                self._nodes_ready(api)
                self._until(lambda: None if self.finished.done() else "kind is still running", "kind create to end")
                self._raise_for_kind()
            except BaseException:
                self.stop.abort()
                raise
        return worked

    def save_output(self) -> None:
        """Write kind's output to `kind-create.log` in the log folder."""
        path = self.kind.paths.logs / "kind-create.log"
        write_private(path, "\n".join(self.lines) + "\n")

    def _kind(self) -> Finished:
        config, scratch, lock = self.kind.scratch()
        for stale in (scratch, lock):
            stale.unlink(missing_ok=True)
        write_private(config, kind_config.render(self.config))
        argv = ["create", "cluster", "--name", self.kind.name, "--config", str(config), "--retain"]
        try:
            return self.kind.kind([*argv, "--kubeconfig", str(scratch)], self._left() + 5, self.stop, self._progress)
        finally:
            for path in (scratch, lock):
                path.unlink(missing_ok=True)

    def _api_server(self) -> Api:
        """Wait until the API server is ready; return a client for it.

        Reads the administrator's kubeconfig from the node as soon as kubeadm has written it.
        """
        self._until(self._admin, "the control plane's kubeconfig", NODE_POLL)
        api = Api.of(self.kind.paths.kubeconfig)
        seconds = self._until(api.readyz, "the API server")
        self._until(api.may_everything, "the administrator's rights")
        self.report(f"the API server is ready, {seconds:.1f} s after its kubeconfig")
        return api

    def _admin(self) -> str | None:
        return self.kind.write_kubeconfig(ClusterFacts(self.kind.nodes.all()))

    def _nodes_ready(self, api: Api) -> None:
        count = len(self.config["nodes"])
        for probe, what in (
            (lambda: self._pod_range(api), "the node's pod range"),
            (lambda: api.node_ready(count), "every node to be Ready"),
            (api.default_account, "the ServiceAccount default/default"),
        ):
            seconds = self._until(probe, what)
            if seconds >= 0.1:
                self.report(f"waited {seconds:.1f} s for {what}")

    def _pod_range(self, api: Api) -> str | None:
        """Set the node's pod range if `kind_config` has turned off the controller that sets it.

        Returns None, or the reason to try again.
        """
        ours = kind_config.pod_range(self.config)
        try:
            if not ours or api.version() >= kind_config.RANGES_BY_CONTROLLER:
                return None
            return api.give_pod_range(ours)
        except Busy as error:
            return error.message

    def _until(self, probe: Callable[[], str | None], what: str, slowest: float = API_POLL) -> float:
        """Wait until the probe passes; return the seconds it took. Raises the error of kind at once if kind fails."""

        def attempt() -> str | None:
            if self.finished.done():
                self._raise_for_kind()
            return probe()

        hint = f"kind's output and the nodes' logs are in {self.kind.paths.logs}"
        return until(attempt, what=what, seconds=self._left(), cancel=self.cancel, hint=hint, slowest=slowest)

    def _raise_for_kind(self) -> None:
        try:
            self.finished.result()
        except CommandFailed as error:
            if not kind_errors.at_its_kubeconfig(error.output):
                raise self._explained(error) from error
            if not self.lost:
                self.report("kind did not find the node for its own kubeconfig, which envkit does not need; continuing")
            self.lost = True

    def _explained(self, error: CommandFailed) -> EnvkitError:
        self.lines = error.output.splitlines()
        logs = ""
        with suppress(EnvkitError):
            logs = "\n".join(self.kind.nodes.logs(node.name) for node in self.kind.nodes.all())
        return kind_errors.explain(error.output, logs, image=str(self.config["nodes"][0].get("image", "")))

    def _left(self) -> float:
        return max(0.1, self.deadline - time.monotonic())

    def _progress(self, line: str) -> None:
        """Save a line of kind's output; if the line names a step, report the step."""
        self.lines.append(line)
        step = re.match(r"\s*•\s+([\w ()<>=/:.,≤-]+)", line)
        if step:
            self.report(f"kind: {step[1].strip()}")
