"""Tests of the wrapper that starts redis-server: the options that it passes to each version of a fake server."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from envkit.config import rights

SERVER = """#!/bin/sh
[ "$*" != --version ] || { echo "Redis server v=%s sha=00000000:0 malloc=libc bits=64 build=1"; exit; }
printf '%%s\\n' "$@"
[ "$1" != - ] || cat
"""


def run(folder: Path, version: str, *words: str, **variables: str) -> tuple[int, str]:
    server = folder / "redis-server"
    server.write_text(SERVER % version)
    server.chmod(0o755)
    argv = rights.limited("redis-server", [str(server), *words])
    done = subprocess.run(argv, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", **variables})
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("version", ["7.0.15", "7.4.2", "8.2.1", "10.0.0"])
@pytest.mark.parametrize(("superuser", "allowed"), [("", "no"), ("true", "yes")])
def test_redis_7_and_later_is_told_what_to_allow(tmp_path: Path, version: str, superuser: str, allowed: str) -> None:
    code, said = run(tmp_path, version, "/a.conf", "--port", "1", ENVKIT_SUPERUSER=superuser)
    settings = ("--enable-protected-configs", "--enable-module-command", "--enable-debug-command")
    assert code == 0
    assert said.split() == ["/a.conf", "--port", "1", *(word for name in settings for word in (name, allowed))]


def test_redis_6_gets_an_access_list(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("maxclients 10\n")
    code, said = run(tmp_path, "6.2.14", str(tmp_path / "a.conf"), "--port", "1", REDISCLI_AUTH='a "b\\ $c')
    assert code == 0
    words, _, text = said.partition(f'include "{tmp_path}/a.conf"\n')
    assert words.split() == ["-", "--port", "1"]
    assert text.startswith('user default on ">a \\"b\\\\ $c" ~* &* +@all -acl ')
    for word in ("-config +config|get", "-module", "-debug", "-replicaof", "-slaveof"):
        assert f" {word}" in text


def test_redis_6_0_knows_no_channels(tmp_path: Path) -> None:
    assert "&*" not in run(tmp_path, "6.0.16", "--port", "1")[1]


@pytest.mark.parametrize("words", [("--requirepass", "x"), ("own.conf",)])
def test_redis_6_keeps_no_password_that_the_list_would_drop(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "own.conf").write_text("requirepass x\n")
    given = [str(tmp_path / word) if word.endswith(".conf") else word for word in words]
    code, said = run(tmp_path, "6.2.14", *given)
    assert code == 1
    assert "options: {password: ...}" in said


def test_an_older_redis_is_refused_with_the_option(tmp_path: Path) -> None:
    code, said = run(tmp_path, "5.0.7", "--port", "1")
    assert code == 1
    assert "options: {superuser: true}" in said
    assert run(tmp_path, "5.0.7", "--port", "1", ENVKIT_SUPERUSER="true") == (0, "--port\n1\n")
