"""Many simultaneous alerts: the server answers all of them, loses none and creates none twice."""

from __future__ import annotations

from collections import Counter

STORM = 60


def test_sixty_different_alerts_become_sixty_requests(gateway, caller, alert, envkit_namespace, requests_in):
    said = caller.storm([alert() for _ in range(STORM)])
    assert Counter(one.status for one in said) == {201: STORM}
    names = {f"{envkit_namespace}/{one['metadata']['name']}" for one in requests_in(envkit_namespace)}
    assert names == {one.body["request"] for one in said}
    assert len(names) == STORM


def test_sixty_alerts_about_six_pods_become_six_requests(gateway, caller, alert, envkit_namespace, requests_in):
    said = caller.storm([alert(f"web-{number % 6}") for number in range(STORM)])
    assert Counter(one.status for one in said) == {201: 6, 202: STORM - 6}
    assert [*Counter(one.body["fingerprint"] for one in said).values()] == [10] * 6
    assert len(requests_in(envkit_namespace)) == 6


def test_two_servers_in_a_storm_never_make_one_twice(serve, caller, alert, envkit_namespace, requests_in):
    urls = [serve().url, serve().url]
    said = caller.storm([alert(f"web-{number // 2}") for number in range(STORM)], urls)
    assert Counter(one.status for one in said) == {201: STORM // 2, 202: STORM // 2}
    assert len(requests_in(envkit_namespace)) == STORM // 2
