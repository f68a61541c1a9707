"""Tests of the identity of a CI job, and of the environment name, the ports and the lease that follow from it."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from envkit.base.ci_job import LEASE, Lease, identity, lease
from envkit.config.load import Request, identify, load
from envkit.config.names import NAME, is_name

GITHUB = {
    "GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "o/r",
    "GITHUB_RUN_ID": "12345678901", "GITHUB_RUN_ATTEMPT": "1", "GITHUB_JOB": "integration", "RUNNER_NAME": "build-1",
    "RUNNER_TRACKING_ID": "github_1f3d9475-6c94-40ee-a160-8b3fd282c3a1",
}  # fmt: skip
GITLAB = {
    "GITLAB_CI": "true",
    "CI_SERVER_URL": "https://gitlab.example",
    "CI_PROJECT_PATH": "g/p",
    "CI_JOB_ID": "98765",
}
JOBS = [
    GITHUB,
    GITHUB | {"GITHUB_RUN_ID": "12345678902"},
    GITHUB | {"GITHUB_RUN_ATTEMPT": "2"},
    GITHUB | {"GITHUB_JOB": "unit"},
    GITHUB | {"GITHUB_REPOSITORY": "o/other"},
    GITHUB | {"RUNNER_NAME": "build-2", "RUNNER_TRACKING_ID": ""},
    GITHUB | {"RUNNER_TRACKING_ID": "github_2f3d9475-6c94-40ee-a160-8b3fd282c3a1"},
    GITHUB | {"ENVKIT_JOB": "matrix 2"},
    GITLAB,
    GITLAB | {"CI_JOB_ID": "98766"},
    GITLAB | {"CI_SERVER_URL": "https://gitlab.other"},
    {"ENVKIT_JOB": "jenkins-build-7", "CI": "true"},
    {"ENVKIT_JOB": "jenkins-build-8"},
]
NONE = [
    {}, {"CI": "true"}, {"GITHUB_ACTIONS": "true"}, {"GITLAB_CI": "true"}, {"CI_JOB_ID": "98765"},
    {**GITHUB, "ENVKIT_CI": "off"}, {"ENVKIT_JOB": "7", "ENVKIT_CI": "off"}, {**GITLAB, "ENVKIT_CI": "plain"},
]  # fmt: skip


def test_no_two_jobs_have_one_name_and_each_is_valid() -> None:
    names = [job.name(base) for environ in JOBS if (job := identity(environ)) for base in ("gateway", "x" * 40)]
    assert len(names) == 2 * len(JOBS) and len(set(names)) == len(names)
    assert all(re.fullmatch(NAME, name) and len(name) <= 40 for name in names), names


@pytest.mark.parametrize("environ", NONE)
def test_where_there_is_no_job_to_tell_nothing_changes(environ: dict[str, str], tmp_path: Path) -> None:
    assert identity(environ) is None
    assert identify(Request.of(environ, tmp_path)).name == "gateway"
    assert lease(environ, "gateway", 0.0) == Lease()


def test_every_step_of_a_job_has_its_name(tmp_path: Path) -> None:
    """The name does not depend on variables that each step sets anew.

    These are GITHUB_ACTION, GITHUB_ENV, and the tracking id that another action may clear.
    """
    steps = [GITHUB | {"GITHUB_ACTION": one, "GITHUB_ENV": f"/tmp/{one}"} for one in ("__run", "__run_2")]
    assert len({identify(Request.of(step, tmp_path)).name for step in steps}) == 1


@pytest.mark.parametrize("number", ["1", "A/B c", "-", "9" * 60, "é"])
@pytest.mark.parametrize("base", ["a", "a-b", "a" * 19 + "-" + "b" * 20, "gateway"])
def test_whatever_the_variables_hold_the_name_is_one(number: str, base: str) -> None:
    job = identity({"ENVKIT_JOB": number})
    assert job and is_name(job.name(base)), job


def test_the_jobs_number_can_be_read_in_the_name() -> None:
    job = identity(GITLAB)
    assert job and job.name("shop").startswith("shop-98765-") and str(job) == "gitlab job 98765"


def configured(folder: Path, text: str) -> Path:
    (folder / "envkit.yaml").write_text(text + "\ncluster: none\nservices: {a: {image: i, ports: {p: '9000:80'}}}\n")
    return folder


@pytest.mark.parametrize(
    ("text", "given", "environ", "name", "auto", "offset"),
    [
        ("name: shop", {}, {}, r"shop-98765-[0-9a-f]{6}", True, 0),
        ("name: shop", {"name": "mine"}, {}, "mine", True, 0),
        ("name: shop", {}, {"ENVKIT_NAME": "mine"}, "mine", True, 0),
        ("name: shop", {"sets": ("name=mine",)}, {}, "mine", True, 0),
        ("name: shop\nport_offset: 300", {}, {}, r"shop-98765-[0-9a-f]{6}", False, 300),
        ("name: shop", {"port_offset": 0}, {}, r"shop-98765-[0-9a-f]{6}", False, 0),
        ("name: shop", {}, {"ENVKIT_PORT_OFFSET": "7"}, r"shop-98765-[0-9a-f]{6}", False, 7),
    ],
)
def test_what_the_user_gave_is_kept(
    tmp_path: Path, text: str, given: dict[str, object], environ: dict[str, str], name: str, auto: bool, offset: int
) -> None:
    request = Request.of({**GITLAB, **environ}, configured(tmp_path, text), **given)
    found = load(request)
    assert re.fullmatch(name, found.name) and identify(request).name == found.name
    assert (found.offset_auto, found.port_offset) == (auto, offset)


@pytest.mark.parametrize(
    ("environ", "name", "ends", "seconds", "job"),
    [
        (GITHUB, None, 0.0, LEASE, "github job 12345678901"),
        (GITLAB, None, 0.0, LEASE, "gitlab job 98765"),
        (GITLAB | {"CI_JOB_TIMEOUT": "3600"}, None, 0.0, 4200.0, "gitlab job 98765"),
        (GITLAB | {"CI_JOB_TIMEOUT": "soon"}, None, 0.0, LEASE, "gitlab job 98765"),
        (GITLAB, "mine", 0.0, None, ""),
        ({}, None, 0.0, None, ""),
    ],
)
def test_the_lease(environ: dict[str, str], name: str | None, ends: float, seconds: float | None, job: str) -> None:
    found = lease(environ, name, ends)
    assert found.job == job
    assert found.expires == 0.0 if seconds is None else found.expires == pytest.approx(time.time() + seconds, abs=60)


def test_what_the_user_says_goes_before_the_jobs_limit() -> None:
    assert lease(GITLAB, None, 5.0) == Lease(5.0, "gitlab job 98765")
    assert lease(GITLAB, "mine", 5.0) == Lease(5.0, "")
