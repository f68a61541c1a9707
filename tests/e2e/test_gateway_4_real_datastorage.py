"""Tests of the platform's own DataStorage on a kind cluster, instead of the reference service.

The tests use the stand-in's image.
"""

from __future__ import annotations

import pytest

from tests.e2e import real_datastorage
from tests.support.box import Box

pytestmark = [pytest.mark.e2e, pytest.mark.kind]


def test_it_finds_everything_that_it_needs_and_the_cluster_stays(gateway: Box, standin: str) -> None:
    before = gateway.ids()
    try:
        real_datastorage.takes_the_place(gateway, standin)
        after = gateway.ids()
        assert {name for name in before if before[name] != after[name]} == {"datastorage"}
        real_datastorage.renews_in_place(gateway)
    finally:
        gateway("up").ok()
