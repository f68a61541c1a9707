"""Compute the desired state of services: resolve references, add the port offset, choose images, take fingerprints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from envkit.base.errors import EnvironmentFailed
from envkit.base.paths import Paths
from envkit.config.images import names_of, substitute
from envkit.config.models import Cluster, Environment, Port, Service
from envkit.config.references import Addressing, AsProcess, Inside, Published, Scope
from envkit.config.resolution import resolved_service
from envkit.planning.facts import Instance
from envkit.planning.fingerprint import fingerprint
from envkit.planning.plan import Want
from envkit.planning.values import RuntimeValues, ThisHost, placeholder, values

NODE_REPOSITORY = "docker.io/kindest/node"


def resolve_for_container(
    environment: Environment, name: str, paths: Paths, *, tokens: bool = True, authority: bool = True,
    host: Callable[[], ThisHost] | None = None,
) -> Service:  # fmt: skip
    """Return the service with its references resolved for the place where it runs, and its ports moved by the offset.

    If `tokens` is false, placeholders replace tokens. If `authority` is false, a placeholder replaces the cluster's CA.
    If `host` is None, placeholders replace the addresses of this host. The desired state must not change with these
    values.
    """
    service = environment.services[name]
    where: Addressing = AsProcess(environment, {}, paths.services) if service.process else Inside(environment)
    scope = Scope(environment, where, name, values(environment, where, RuntimeValues(paths, tokens, authority, host)))
    return moved(resolved_service(service, scope), environment.port_offset)


def resolve_for_plan(environment: Environment, name: str, paths: Paths) -> Service:
    """Return the service as `resolve_for_container` does, with placeholders for tokens and the cluster's CA.

    A token changes with each renewal, and the CA with each new cluster.
    """
    return resolve_for_container(environment, name, paths, tokens=False, authority=False)


def resolve_to_start(
    environment: Environment, name: str, paths: Paths, host: Callable[[], ThisHost] | None = None
) -> Service:
    """Return the service as `resolve_for_container` does, with the real tokens and CA that a start needs.

    Raises `EnvironmentFailed` if the service uses a token that does not exist yet.
    """
    service = resolve_for_container(environment, name, paths, host=host)
    text = resolve_for_plan(environment, name, paths).model_dump_json()
    absent = [one for one in environment.cluster.identities if not (paths.tokens / one).exists()]
    used = [one for one in absent if placeholder(one) in text]
    if used:
        raise EnvironmentFailed(
            f"{name} uses the token of {', '.join(used)}, which the cluster's bootstrap creates",
            hint=f"add `cluster` to services.{name}.needs",
        )
    return service


def resolve_for_host(
    environment: Environment, name: str, paths: Paths, ports: Mapping[str, int],
    host: Callable[[], ThisHost] | None = None,
) -> Service:  # fmt: skip
    """Return the service with its probes and host command resolved for this host.

    The function removes command, entrypoint, files and process, and the variables of a service that a runtime runs.
    """
    where = published(environment, ports)
    scope = Scope(environment, where, name, values(environment, where, RuntimeValues(paths, host=host)))
    service = environment.services[name]
    within: dict[str, Any] = {"process": None, "command": None, "entrypoint": None, "files": ()}
    if service.runs:
        within["env"] = {}  # these variables are for the container or process; some cannot be resolved for the host
    return resolved_service(service.model_copy(update=within), scope)


def published(environment: Environment, ports: Mapping[str, int]) -> Addressing:
    """Return the addressing for this host; `ports` maps `SERVICE.PORT` to the port that an engine chose."""
    return Published(environment, ports)


def moved(service: Service, offset: int) -> Service:
    """Return the service with the offset added to its fixed host ports."""

    def move(port: Port) -> Port:
        return port.model_copy(update={"host": port.host + offset}) if isinstance(port.host, int) else port

    return service.model_copy(update={"ports": {name: move(port) for name, port in service.ports.items()}})


def candidates(service: Service, images: Mapping[str, str]) -> tuple[str, ...]:
    """Return the images to try, with substitutes applied; for a process, the text that identifies its program."""
    if service.process and not service.in_container:
        return (service.process.reference,)
    return tuple(name for image in service.image for name in names_of(substitute(image, images)))


def node_image(environment: Environment) -> str | None:
    """Return kind's node image (configured, from the version, or a substitute), or None for kind's default."""
    cluster = environment.cluster
    version = f"v{cluster.kubernetes.removeprefix('v')}" if cluster.kubernetes else ""
    wanted = cluster.node_image or (f"{NODE_REPOSITORY}:{version}" if version else NODE_REPOSITORY)
    chosen = substitute(wanted, environment.images)
    return None if chosen == NODE_REPOSITORY else chosen


def resolved_cluster(environment: Environment) -> Cluster:
    """Return the cluster with its final node image, substitutes applied."""
    return environment.cluster.model_copy(update={"node_image": node_image(environment)})


def want(
    environment: Environment,
    name: str,
    paths: Paths,
    tag: str,
    image_ids: Mapping[str, str],
    instance: Instance | None,
) -> Want:
    """Return the desired state of one service.

    The function treats the image of an existing container as present even if the engine no longer has its name.
    """
    service = resolve_for_plan(environment, name, paths)
    options = candidates(service, environment.images)
    wanted = Want(name, service, candidates=options, tag=tag)
    if not service.runs:
        return replace(wanted, fingerprint=fingerprint(service, ""))

    def identity(image: str) -> str:
        own = instance.image_id if instance is not None and image == instance.image != "" else None
        if own is not None and service.process:
            return own  # keep the running process even if its program is in another folder now
        return image_ids.get(image) or own or ""

    wanted = replace(wanted, built=bool(identity(tag)))
    chosen = _chosen(wanted, identity, instance)
    return with_image(wanted, chosen, identity(chosen), "is here") if chosen else wanted


def _chosen(wanted: Want, identity: Callable[[str], str], instance: Instance | None) -> str:
    """Return the first candidate that is present, or the build's tag, or an empty string.

    The function returns the tag only if there are no candidates to pull, or if the service already uses the build. In
    that case the build stays, even if a candidate can be pulled now.
    """
    here = [image for image in wanted.candidates if identity(image)]
    if here or not wanted.tag:
        return here[0] if here else ""
    fingerprint = with_image(wanted, wanted.tag, identity(wanted.tag)).fingerprint
    same = instance is not None and (instance.image, instance.fingerprint) == (wanted.tag, fingerprint)
    return wanted.tag if wanted.built and (same or not wanted.candidates) else ""


def with_image(wanted: Want, image: str, identity: str, how: str = "") -> Want:
    """Return the `Want` with the image (if not empty) and its fingerprint. After a choice, `why` begins with `how`."""
    if not image:
        return wanted
    names = (*wanted.candidates, *([wanted.tag] if wanted.tag else []))
    seen = (identity, *names) if len(names) + len(wanted.service.skipped) > 1 else (identity,)
    made_from = "\n".join(seen)
    made = fingerprint(wanted.service, made_from)
    skipped = f", skipped: {'; '.join(wanted.service.skipped)}" if wanted.service.skipped else ""
    why = f"{how}{skipped}" if how and len(seen) > 1 else ""
    return replace(wanted, image=image, fingerprint=made, why=why, made_from=made_from)
