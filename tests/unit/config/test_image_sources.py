"""Tests of image sources: the registry of each pull, the local name of the image, and which pulls are retried."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from envkit.base.errors import EngineError
from envkit.base.waiting import Cancel
from envkit.config.images import Source, kept_name, names_of, source_of
from envkit.config.models import Environment
from envkit.drivers.supply.pulling import Puller
from envkit.drivers.supply.retrying import BUSY_TRIES, OTHER_TRIES, pause_before_next

DIGEST = "sha256:" + "1f" * 32


# Mirrors


@pytest.mark.parametrize(
    ("image", "pulled"),
    [
        ("redis:7", "mirror.example/hub/library/redis:7"),
        ("docker.io/redis:7", "mirror.example/hub/library/redis:7"),
        ("team/app", "mirror.example/hub/team/app"),
        (f"redis@{DIGEST}", f"mirror.example/hub/library/redis@{DIGEST}"),
        ("kindest/node:v1.34.0", "nodes.example:5000/node:v1.34.0"),
        ("docker.io/kindestother/node:1", "mirror.example/hub/kindestother/node:1"),
        ("registry.k8s.io/etcd:3", "registry.k8s.io/etcd:3"),
        ("docker.io.example/redis:7", "docker.io.example/redis:7"),
    ],
)
def test_the_mirror_of_the_longest_prefix_is_asked(image: str, pulled: str) -> None:
    mirrors = {"docker.io": "mirror.example/hub/", "docker.io/kindest": "https://nodes.example:5000"}

    assert source_of(image, mirrors) == Source(pulled)


@pytest.mark.parametrize(
    ("mirror", "plain"),
    [("http://m.example", True), ("https://m.example", False), ("127.0.0.1:5000", True), ("localhost:5000/x", True),
     ("[::1]:5000", True), ("127.1.2.3:80", True), ("localhost.example:5000", False), ("m.example:5000", False)],
)  # fmt: skip
def test_tls_is_left_out_where_that_is_said_and_on_loopback(mirror: str, plain: bool) -> None:
    found = source_of("redis:7", {"docker.io": mirror})

    assert (found.plain, found.reference) == (plain, f"{mirror.rpartition('://')[2]}/library/redis:7")


def test_a_registry_on_loopback_needs_no_mirror_to_go_without_tls() -> None:
    assert source_of("localhost:5000/app:1", {}) == Source("localhost:5000/app:1", plain=True)
    assert source_of("localhost/app:1", {}) == Source("localhost/app:1"), "what was built or loaded here"


@pytest.mark.parametrize("mirror", ["ftp://x", "a b", "", "http://", "host/path?x"])
def test_what_is_no_place_is_no_mirror(mirror: str) -> None:
    with pytest.raises(ValidationError):
        Environment.model_validate({"name": "x", "mirrors": {"docker.io": mirror}})


# Digests


def test_what_is_wanted_by_digest_has_a_second_name() -> None:
    kept = "localhost/envkit-kept/docker.io/library/redis:sha256-" + "1f" * 32

    assert kept_name(f"redis:7@{DIGEST}") == kept_name(f"docker.io/library/redis@{DIGEST}") == kept
    assert names_of(f"redis:7@{DIGEST}") == (f"redis:7@{DIGEST}", kept)
    assert names_of(kept) == (kept,)
    assert names_of("redis:7") == ("redis:7",)


# Retries


@pytest.mark.parametrize(
    "said",
    [
        "the engine answered: toomanyrequests: You have reached your pull rate limit",
        "received unexpected HTTP status: 503 Service Unavailable",
        "reading manifest 1 in r: received unexpected HTTP status: 500 Internal Server Error",
        "unexpected status code 429",
        "denied: toomanyrequests: rate limit exceeded",
    ],
)
def test_a_busy_registry_is_asked_five_times_ever_more_slowly(said: str) -> None:
    assert [pause_before_next(said, tries) for tries in range(1, BUSY_TRIES + 1)] == [1.0, 2.0, 4.0, 8.0, None]


@pytest.mark.parametrize("said", ["unexpected EOF", "connection reset by peer", "dial tcp: lookup r: no such host"])
def test_a_broken_connection_is_tried_three_times(said: str) -> None:
    assert [pause_before_next(said, tries) for tries in range(1, OTHER_TRIES + 1)] == [1.0, 2.0, None]


@pytest.mark.parametrize(
    "said",
    [
        "unauthorized: authentication required",
        "reading manifest 1 in 127.0.0.1:1/team/app: denied: requested access to the resource is denied",
        "manifest for redis:99 not found: manifest unknown: manifest unknown",
        "name unknown: repository name not known to registry",
        "pull access denied for x, repository does not exist or may require 'docker login'",
        "no matching manifest for linux/arm64/v8 in the manifest list entries",
        "unexpected status code 403",
        "http: server gave HTTP response to HTTPS client",
        "x509: certificate signed by unknown authority",
    ],
)
def test_what_will_not_change_is_not_asked_again(said: str) -> None:
    assert pause_before_next(said, 1) is None


@pytest.mark.parametrize(
    ("after", "pause"),
    [("retry-after: 7s", 7.0), ("Retry-After: 7", 7.0), ("retry after 250ms", 1.0), ("retry-after: 233.3µs", 1.0),
     ("retry-after: 0.5m", 30.0), ("retry-after: 3600", None)],
)  # fmt: skip
def test_what_the_registry_asks_for_is_honoured_up_to_a_minute(after: str, pause: float | None) -> None:
    assert pause_before_next(f"toomanyrequests: {after}, allowed: 44000/minute", 1) == pause


# Images from a mirror


class Api:
    """A fake of the SDK's client: it holds images by name and records each call."""

    def __init__(self, *there: str) -> None:
        self.there, self.done = set(there), list[str]()

    def inspect_image(self, reference: str) -> dict[str, str]:
        from docker.errors import ImageNotFound

        if reference not in self.there:
            raise ImageNotFound("no")
        return {"Id": "sha256:1"}

    def pull(self, repository: str, tag: str | None, **_more: Any) -> Iterator[dict[str, Any]]:
        self.done.append(f"pull {repository} {tag}")
        return iter([])

    def tag(self, image: str, repository: str, tag: str, force: bool) -> None:
        self.done.append(f"tag {image} {repository} {tag}")

    def remove_image(self, image: str, **_more: Any) -> None:
        self.done.append(f"untag {image}")


def pulled(api: Api, reference: str) -> str:
    puller = Puller(api, mirrors={"docker.io": "m.example"})
    return puller.pull(reference, None, lambda _said: None, Cancel())


def test_what_a_mirror_gave_gets_its_own_name() -> None:
    api = Api()

    assert pulled(api, "redis:7") == "redis:7"
    assert api.done == [
        "pull m.example/library/redis 7", "tag m.example/library/redis:7 redis 7", "untag m.example/library/redis:7",
    ]  # fmt: skip


def test_the_mirrors_name_stays_where_it_was_the_users() -> None:
    api = Api("m.example/library/redis:7")
    pulled(api, "redis:7")

    assert not any(step.startswith("untag") for step in api.done)


def test_a_digest_from_a_mirror_is_kept_under_a_name_that_tells_it() -> None:
    api = Api()

    assert pulled(api, f"redis:7@{DIGEST}") == kept_name(f"redis:7@{DIGEST}")
    assert api.done[0] == f"pull m.example/library/redis:7@{DIGEST} None"


def test_a_failure_names_the_mirror_and_the_tries() -> None:
    class Broken(Api):
        def pull(self, repository: str, tag: str | None, **_more: Any) -> Iterator[dict[str, Any]]:
            return iter([{"error": "unauthorized: no"}])

    with pytest.raises(EngineError) as caught:
        pulled(Broken(), "redis:7")

    assert caught.value.message == "from the mirror m.example/library/redis:7: unauthorized: no"
