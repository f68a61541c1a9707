"""What kind's output means: the real cause in one sentence, a next step, and the lines that show it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from envkit.base.errors import ClusterError, EnvkitError, PortTaken, ToolMissing

OLDEST_KIND = (0, 20)
"""Its nodes and those made since share one contract (cgroup namespaces, containerd's configuration)."""

SHOWN_LINES = 25

NOISE = re.compile(
    r"round_trippers|\[kubelet-check\]|^\s*$|goroutine |\.go:\d+\s*$|^Stack Trace|request\.go|^k8s\.io/|^runtime\.|"
    r"^sigs\.k8s\.io/|^main\.main|^\s+/usr/|^github\.com/"
)

INOTIFY = "raise fs.inotify.max_user_instances: sudo sysctl fs.inotify.max_user_instances=512 " \
    "fs.inotify.max_user_watches=524288 (and write both to /etc/sysctl.d to keep them)"  # fmt: skip


@dataclass(frozen=True)
class Cause:
    """One known way to fail: seen in kind's output or in a node's own log."""

    pattern: str
    says: str
    hint: str
    error: Callable[..., EnvkitError] = ClusterError


CAUSES = (
    Cause(
        r"exec: \"(docker|podman|nerdctl)\": executable file not found",
        "kind works through the engine's command line, and that is not installed",
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
        "does that Kubernetes version have a kindest/node image (kind's release notes list them), and is a registry "
        "within reach? `cluster.node_image` names another one",
    ),
    Cause(
        r"old API spec|no kind \"ClusterConfiguration\" is registered|unrecognized feature-gate|invalid phase name",
        "this kind and this Kubernetes version do not fit together", "use the kind release made for that node image",
    ),
    Cause(
        r"already exist for a cluster with the name",
        "a cluster of this name exists that is not in envkit's network, so it is not envkit's",
        "remove it with `kind delete cluster`, or use another --name",
    ),
    Cause(
        r"requires (cgroup v2|setting systemd property)|rootless provider requires",
        "rootless containers cannot hold a cluster here yet",
        "cgroup v2 with delegated controllers is needed: https://kind.sigs.k8s.io/docs/user/rootless/",
    ),
    Cause(
        r"unable to decode config|unknown field|error parsing|invalid configuration|failed to (parse|apply)[^\n]*patch",
        "kind does not accept the configuration", "look at `cluster.config` in the profile",
    ),
    Cause(r"network [^\n]* not found|unable to find network", "the environment's network is gone", "run `up` again"),
    Cause(
        r"[Cc]annot connect to the Docker daemon|unable to connect to Podman",
        "kind does not reach the engine", "does the engine's own command line reach it?",
    ),
    Cause(
        r"could not find a log line that matches",
        "the node did not boot",
        "its log is below; a kind older than the node image, or a restricted host, are the usual reasons",
    ),
    Cause(
        r"timed out waiting for the condition|context deadline exceeded|failed to init node with kubeadm",
        "the control plane did not start", "the kubelet's log is in the saved logs",
    ),
)  # fmt: skip


def explain(output: str, node_log: str = "", *, image: str = "") -> EnvkitError:
    """The error for a `kind create` that failed. What a node says counts as well: kind often sees only a time-out."""
    for cause in CAUSES:
        where = next((text for text in (output, node_log) if re.search(cause.pattern, text)), None)
        if where is not None:
            message = f"the cluster could not be made: {cause.says}{_which(cause, where, image)}"
            return cause.error(message, hint=cause.hint, detail=useful_lines(output, node_log))
    errors = re.findall(r"ERROR: (.*)", output)
    said = errors[-1] if errors else "kind failed"
    return ClusterError(f"the cluster could not be made: {said}", detail=useful_lines(output, node_log))


PASSING = re.compile(r"failed to remove control plane (taint|load balancer label)")
"""Steps of kind's after the API server runs, each one call of kubectl that kind does not repeat when it meets a server
that is busy starting. Seen once in some hundred creations on a loaded host."""


def is_transient(error: EnvkitError) -> bool:
    """Whether the same creation is likely to succeed a moment later."""
    return bool(PASSING.search(error.message))


AT_ITS_KUBECONFIG = re.compile(r"could not locate any control plane nodes for cluster")
"""Kind's last step: it lists the nodes once more and writes a kubeconfig of its own. On a loaded host Podman's list was
empty once."""


def at_its_kubeconfig(output: str) -> bool:
    """Whether kind failed when everything that an environment needs was done."""
    return bool(AT_ITS_KUBECONFIG.search(output))


def useful_lines(output: str, node_log: str = "") -> str:
    """The last lines that tell something."""
    lines = [line.rstrip() for line in output.splitlines() if not NOISE.search(line)]
    shown = lines[-SHOWN_LINES:]
    if node_log.strip() and "log line that matches" in output:
        shown += ["--- the node's log:", *node_log.splitlines()[-SHOWN_LINES:]]
    return "\n".join(shown)


def version_of(output: str) -> tuple[int, int] | None:
    """Major and minor from `kind version`."""
    found = re.search(r"\bv?(\d+)\.(\d+)\.\d+", output)
    return (int(found[1]), int(found[2])) if found else None


def too_old(version: tuple[int, int]) -> EnvkitError:
    """The error for a kind older than `OLDEST_KIND`."""
    oldest = ".".join(map(str, OLDEST_KIND))
    return ClusterError(
        f"kind {version[0]}.{version[1]} is too old: {oldest} is the oldest that works here",
        hint="https://kind.sigs.k8s.io/docs/user/quick-start/#installation",
    )


def no_client(engine: str) -> EnvkitError:
    """The error for an engine whose command line client, which kind calls, is not installed."""
    return ToolMissing(f"kind works through `{engine}`, and that is not on PATH", hint="install the engine's client")


def _which(cause: Cause, text: str, image: str) -> str:
    """The port or the image that it is about."""
    if cause.error is PortTaken:
        ports = re.findall(r":(\d+)(?:: bind: address already in use| failed: port is already allocated)", text)
        return f": {', '.join(sorted(set(ports)))}" if ports else ""
    if "node image" in cause.says and "cannot be had" in cause.says:
        named = re.search(r"failed to pull image \\?\"([^\"\\]+)", text)
        return f": {named[1] if named else image}" if named or image else ""
    return ""
