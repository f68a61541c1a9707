"""Explains a failure of kind: the cause in one sentence, a next step, and the relevant lines of output.

All functions are pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from envkit.base.errors import ClusterError, EnvkitError, PortTaken, ToolMissing

OLDEST_KIND = (0, 20)
"""The oldest supported version of kind. Since that release, node images have the same interface (cgroup namespaces and
the form of containerd's configuration)."""

SHOWN_LINES = 25

NOISE = re.compile(
    r"round_trippers|\[kubelet-check\]|^\s*$|goroutine |\.go:\d+\s*$|^Stack Trace|request\.go|^k8s\.io/|^runtime\.|"
    r"^sigs\.k8s\.io/|^main\.main|^\s+/usr/|^github\.com/"
)

INOTIFY = "raise fs.inotify.max_user_instances: sudo sysctl fs.inotify.max_user_instances=512 " \
    "fs.inotify.max_user_watches=524288 (and write both to /etc/sysctl.d to keep them)"  # fmt: skip


@dataclass(frozen=True)
class Cause:
    """A known cause of failure, with the pattern that identifies it in kind's output or in a node's log."""

    pattern: str
    says: str
    hint: str
    error: Callable[..., EnvkitError] = ClusterError


CAUSES = (
    Cause(
        r"exec: \"(docker|podman|nerdctl)\": executable file not found",
        "kind needs the engine's command line client, which is not installed",
        "install the engine's command line client", ToolMissing,
    ),
    Cause(
        r"port is already allocated|address already in use|Bind for [\d.]+:\d+ failed",
        "a port that the cluster publishes is taken",
        "stop what holds the port (`ss -ltnp` names it), or move all ports with --port-offset auto", PortTaken,
    ),
    Cause(
        r"[Tt]oo many open files|inotify[^\n]*(limit|failed|[Nn]o space)|"
        r"[Ff]ailed to (create|initialize) (an )?inotify",
        "the node ran out of inotify instances or open files", INOTIFY,
    ),
    Cause(r"no space left on device", "the disk is full", "free some: `docker system df` shows what images hold"),
    Cause(
        r"failed to pull image|manifest unknown|manifest for [^\n]* not found|pull access denied|[Nn]o such image|"
        r"initializing source docker:|short-name [^\n]* did not resolve",
        "the node image cannot be had",
        "check in kind's release notes that this Kubernetes version has a kindest/node image, and that a registry "
        "is reachable; or name another image in `cluster.node_image`",
    ),
    Cause(
        r"old API spec|no kind \"ClusterConfiguration\" is registered|unrecognized feature-gate|invalid phase name",
        "this kind release does not support this Kubernetes version", "use the kind release made for that node image",
    ),
    Cause(
        r"already exist for a cluster with the name",
        "a cluster of this name exists that is not in envkit's network, so it is not envkit's",
        "remove it with `kind delete cluster`, or use another --name",
    ),
    Cause(
        r"requires (cgroup v2|setting systemd property)|rootless provider requires",
        "rootless containers cannot run a cluster on this host yet",
        "cgroup v2 with delegated controllers is needed: https://kind.sigs.k8s.io/docs/user/rootless/",
    ),
    Cause(
        r"unable to decode config|unknown field|error parsing|invalid configuration|failed to (parse|apply)[^\n]*patch",
        "kind does not accept the configuration", "look at `cluster.config` in the profile",
    ),
    Cause(r"network [^\n]* not found|unable to find network", "the environment's network is gone", "run `up` again"),
    Cause(
        r"[Cc]annot connect to the Docker daemon|unable to connect to Podman",
        "kind cannot reach the engine", "check that the engine's own command line reaches it",
    ),
    Cause(
        r"could not find a log line that matches",
        "the node did not boot",
        "its log is below; the usual reasons are a kind older than the node image, or a restricted host",
    ),
    Cause(
        r"timed out waiting for the condition|context deadline exceeded|failed to init node with kubeadm",
        "the control plane did not start", "the kubelet's log is in the saved logs",
    ),
)  # fmt: skip


def explain(output: str, node_log: str = "", *, image: str = "") -> EnvkitError:
    """Return the error for a failed `kind create`.

    This searches the output and then the node's log for a known cause, because kind often reports only a timeout.
    """
    for cause in CAUSES:
        where = next((text for text in (output, node_log) if re.search(cause.pattern, text)), None)
        if where is not None:
            message = f"the cluster could not be made: {cause.says}{_which(cause, where, image)}"
            return cause.error(message, hint=cause.hint, detail=useful_lines(output, node_log))
    errors = re.findall(r"ERROR: (.*)", output)
    said = errors[-1] if errors else "kind failed"
    return ClusterError(f"the cluster could not be made: {said}", detail=useful_lines(output, node_log))


PASSING = re.compile(r"failed to remove control plane (taint|load balancer label)")
"""Errors of steps that kind runs after the start of the API server. Each step is one call of kubectl, and kind does not
repeat the call if the server is still busy. On a loaded host, such an error occurred once in about a hundred
creations."""


def is_transient(error: EnvkitError) -> bool:
    """Return whether a second creation is likely to succeed, because the error was temporary."""
    return bool(PASSING.search(error.message))


AT_ITS_KUBECONFIG = re.compile(r"could not locate any control plane nodes for cluster")
"""The error of kind's last step, in which kind lists the nodes again and writes its own kubeconfig. Once, on a loaded
host, Podman's list was empty."""


def at_its_kubeconfig(output: str) -> bool:
    """Return whether kind failed only in its last step, which envkit does not need."""
    return bool(AT_ITS_KUBECONFIG.search(output))


def useful_lines(output: str, node_log: str = "") -> str:
    """Return the last lines of the output, without the lines that match `NOISE`.

    If the output says that the node did not boot, adds the last lines of the node's log.
    """
    lines = [line.rstrip() for line in output.splitlines() if not NOISE.search(line)]
    shown = lines[-SHOWN_LINES:]
    if node_log.strip() and "log line that matches" in output:
        shown += ["--- the node's log:", *node_log.splitlines()[-SHOWN_LINES:]]
    return "\n".join(shown)


def version_of(output: str) -> tuple[int, int] | None:
    """Return the major and minor version from the output of `kind version`; None if it contains no version."""
    found = re.search(r"\bv?(\d+)\.(\d+)\.\d+", output)
    return (int(found[1]), int(found[2])) if found else None


def too_old(version: tuple[int, int]) -> EnvkitError:
    """Return the error for a version of kind that is older than `OLDEST_KIND`."""
    oldest = ".".join(map(str, OLDEST_KIND))
    return ClusterError(
        f"kind {version[0]}.{version[1]} is too old: {oldest} is the oldest that works here",
        hint="https://kind.sigs.k8s.io/docs/user/quick-start/#installation",
    )


def no_client(engine: str) -> EnvkitError:
    """Return the error for a host without the engine's command-line client, which kind calls."""
    return ToolMissing(f"kind needs `{engine}`, which is not on PATH", hint="install the engine's client")


def _which(cause: Cause, text: str, image: str) -> str:
    """Return the end of the message: the port or the image that caused the error, or an empty string."""
    if cause.error is PortTaken:
        ports = re.findall(r":(\d+)(?:: bind: address already in use| failed: port is already allocated)", text)
        return f": {', '.join(sorted(set(ports)))}" if ports else ""
    if "node image" in cause.says and "cannot be had" in cause.says:
        named = re.search(r"failed to pull image \\?\"([^\"\\]+)", text)
        return f": {named[1] if named else image}" if named or image else ""
    return ""
