"""Tests of redaction: no secret remains in any encoding, in any place, or after any truncation."""

from __future__ import annotations

import base64
import html
import json
import re
import stat
import tarfile
import threading
import time
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
import yaml

from envkit.base.paths import write_private
from envkit.drivers.runtimes.fake import FakeEngine
from envkit.evidence.bundle import Bundle, packed
from envkit.evidence.redaction import HIDDEN, Redactor
from tests.support.fake_session import opened
from tests.support.operations import redactor
from tests.unit.wants import environment

SECRET = 'p/&s w"ör§-d<1>'
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl"
KEY = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    + "\n".join(["MIIEowIBAAKCAQEA" + "x" * 40] * 4)
    + "\n-----END RSA PRIVATE KEY-----"
)


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
def test_every_spelling_of_a_known_secret(before: str) -> None:
    spelt = [
        SECRET, quote(SECRET), quote(SECRET, safe=""), json.dumps(SECRET), json.dumps(SECRET, ensure_ascii=False),
        html.escape(SECRET), repr(SECRET), base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
    ]  # fmt: skip
    redact = Redactor([SECRET])
    for one in spelt:
        assert redact(f"{before}{one}{before}") == redact(f"{before}{one}{before}").replace(one, "")
        assert HIDDEN in redact(before + one), one
    longer = base64.b64encode(f"{before}{SECRET} and more".encode()).decode()
    core = base64.b64encode(SECRET.encode()[3:9]).decode()
    assert HIDDEN in redact(longer)
    assert core not in redact(longer)


def wrapped(text: str, width: int, end: str = "\n") -> str:
    return end.join(text[at : at + width] for at in range(0, len(text), width))


TOKEN = "s3cr3t-Tök/en+of_this=environment.and-quite?long&more~of~it~so~that~base64~breaks~its~line~twice"

ENCODED = {
    "base64 at 76 letters": wrapped(base64.b64encode(f"user:{TOKEN} and more".encode()).decode(), 76),
    "base64 at 64, in JSON": json.dumps(wrapped(base64.b64encode(f"x{TOKEN}".encode()).decode(), 64)),
    "base64 at 60, indented": wrapped(base64.b64encode(f"ab{TOKEN}".encode()).decode(), 60, "\r\n    "),
    "twice base64": base64.b64encode(base64.b64encode(f"a={TOKEN}".encode())).decode(),
    "twice base64 at 76": wrapped(base64.b64encode(base64.b64encode(f"ab={TOKEN}".encode())).decode(), 76),
    "a terminal of 40 columns": wrapped(f"the token is {TOKEN}!", 40),
    "hexadecimal": TOKEN.encode().hex(),
    "HEXADECIMAL": TOKEN.encode().hex().upper(),
    "hexadecimal at 60, as xxd -p": wrapped(TOKEN.encode().hex(), 60),
    "%xx": "".join(f"%{byte:02x}" for byte in TOKEN.encode()),
    "%XX": "".join(f"%{byte:02X}" for byte in TOKEN.encode()),
    "\\u00xx": "".join(f"\\u{ord(letter):04x}" for letter in TOKEN),
    "\\xnn": "".join(f"\\x{byte:02x}" for byte in TOKEN.encode()),
}


def leaks(text: str) -> bool:
    """Return whether the text reveals twelve consecutive letters of the token, also after decoding and joining."""
    views, seen = [re.sub(r"[\s\"]|\\r|\\n", "", text)], ""
    for _ in range(3):
        for view in tuple(views):
            for run in re.findall(r"[A-Za-z0-9+/]{8,}", view):
                views += [base64.b64decode(run[at:] + "=" * (-len(run[at:]) % 4)).decode(errors="ignore")
                          for at in range(4) if len(run[at:]) % 4 != 1]  # fmt: skip
            for run in re.findall(r"(?:[0-9a-fA-F]{2}){4,}", view):
                views.append(bytes.fromhex(run).decode(errors="ignore"))
        views = list(dict.fromkeys(views))[:5000]
    for view in views:
        seen += "\0" + view + unquote(view) + "\0" + re.sub(r"\\(?:u00|x)(..)", lambda it: chr(int(it[1], 16)), view)
    return any(TOKEN[at : at + 12] in seen for at in range(len(TOKEN) - 12))


@pytest.mark.parametrize("how", ENCODED)
def test_a_known_secret_is_found_however_it_was_encoded_and_broken(how: str) -> None:
    assert leaks(ENCODED[how]), "what a reader of the evidence could do"
    hidden = Redactor([TOKEN])(f"before\n{ENCODED[how]}\nafter\n")
    assert not leaks(hidden), hidden
    assert hidden.startswith("before\n") and hidden.endswith("\nafter\n") and HIDDEN in hidden


def test_secrets_that_overlap_go_together() -> None:
    redact = Redactor(["first-secret-and", "and-second-secret", "secret"])
    assert redact("x first-secret-and-second-secret y") == f"x {HIDDEN} y"


def test_two_lines_that_meet_by_chance_are_no_secret() -> None:
    assert Redactor(["hunter22"])("a hunt\ner22 b") == "a hunt\ner22 b"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("password=ab/cd/efgh", "ab/cd/efgh"),
        ("secret: wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "K7MDENG"),
        ("curl -u me:hunter2 http://127.0.0.1/", "hunter2"),
        ("curl -s --user 'me:hunter2' http://127.0.0.1/", "hunter2"),
        ('["curl", "-u", "me:hunter2"]', "hunter2"),
        ("host=db user=me pass=hunter2 port=1", "hunter2"),
        ("Server=db;Uid=me;pwd=hunter2;", "hunter2"),
        ("DB_PASS=hunter2", "hunter2"),
        ("pass: hunter2", "hunter2"),
        *(
            (f"it is {token} there", token)
            for token in (
                "npm_" + "a1B2" * 9,
                "AIza" + "Sy-_9" * 7,
                "ya29." + "a0Af_" * 8,
                "GOCSPX-" + "Ab1_" * 7,
                "hvs." + "CAES" * 8,
                "dckr_pat_" + "Xy-9" * 7,
                "sk_live_" + "a1B2" * 6,
                "ASIA" + "IOSFODNN7EXAMPLE",
            )
        ),
        (f"token {JWT} end", JWT),
        (f'{{"token":"{JWT}"}}', JWT),
        ("POSTGRES_PASSWORD=hunter2", "hunter2"),
        ("password: hunter2\nuser: x", "hunter2"),
        ('{"password": "hun\\"ter2", "a": 1}', "ter2"),
        ('{\\"password\\": \\"hunter2\\"}', "hunter2"),
        ("- name: DB_PASSWORD\n  value: hunter2", "hunter2"),
        ('{"name": "API_TOKEN", "value": "hunter2"}', "hunter2"),
        ("redis://:hunter2@127.0.0.1:6379/0", "hunter2"),
        ("https://ghtoken1234567890abc@example.org/x", "ghtoken1234567890abc"),
        ("Authorization: Bearer abcdef123456", "abcdef123456"),
        ("curl -H 'X-Api-Key: hunter2'", "hunter2"),
        ("redis-server --requirepass hunter2 --port 1", "hunter2"),
        ('["--requirepass",\n "hunter2"]', "hunter2"),
        ("client-key-data: TUlJRW93SUJBQUtDQVFFQQ==", "TUlJRW93SUJBQUtDQVFFQQ"),
        (KEY, "MIIEowIBAAKCAQEA"),
        (KEY.replace("\n", "\\n"), "MIIEowIBAAKCAQEA"),
        (KEY.partition("-----END")[0], "MIIEowIBAAKCAQEA"),
        (KEY.partition("KEY-----\n")[2], "MIIEowIBAAKCAQEA"),
        ("AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
    ],
)
def test_what_looks_like_a_secret(text: str, secret: str) -> None:
    hidden = Redactor()(text)
    assert secret not in hidden
    assert HIDDEN in hidden


@pytest.mark.parametrize(
    "text",
    [
        "secretName: gateway", "automountServiceAccountToken: true", "TOKEN_FILE=/run/token", "kind: Secret",
        "tokenExpirationSeconds: 3600", "connected to http://127.0.0.1:8080/path", "basic authentication is off",
        "password: ${POSTGRES_PASSWORD}", "the token was not found", "serviceAccountTokenVolume=/a/b/c",
        "--- PASS: TestGateway (0.01s)", "passed=12 pass=12", "PWD=/home/me/project", "token: ./run/secrets/token",
        "docker run -u 1000:1000 image", "curl http://127.0.0.1:8080/path?a=b:c",
    ],
)  # fmt: skip
def test_what_only_speaks_of_secrets_stays(text: str) -> None:
    assert Redactor()(text) == text


def test_json_and_yaml_stay_what_they_are() -> None:
    data = {"password": SECRET, "list": [SECRET], "url": "redis://:hunter2@h/0", "deep": {"api_key": 'x"y'}}
    redact = Redactor([SECRET])
    assert json.loads(redact(json.dumps(data)))["list"] == [HIDDEN]
    assert yaml.safe_load(redact(yaml.safe_dump(data)))["deep"]["api_key"] == HIDDEN


def test_a_secret_spelt_like_a_common_word_is_hidden_beside_its_name_only() -> None:
    redact = Redactor(["postgres", "gateway"], ["gateway"])
    assert redact("service postgres of gateway: PASSWORD=postgres") == f"service postgres of gateway: PASSWORD={HIDDEN}"


def test_lines_of_a_key_are_found_behind_a_prefix() -> None:
    logged = "\n".join(f"2026-01-01 12:00:00 {line}" for line in KEY.splitlines())
    assert "MIIEowIBAAKCAQEA" not in Redactor([KEY])(logged)


@pytest.mark.parametrize(
    "unit",
    [
        "token",
        "eyJ-",
        "-token",
        "://a:",
        "token=${",
        "name=token",
        'password:"',
        "ghp_",
        "x" * 40 + "\n",
        "token ",
        "sk-",
        "curl -u a",
        "pass ",
        "A_",
        "\n",
        "\\n",
        " ",
        "SECRETsecret",
    ],
)
def test_no_text_takes_for_ever(unit: str) -> None:
    """A regular expression that restarts at every character would take hours for this text."""
    began = time.monotonic()
    Redactor([SECRET])(unit * (400_000 // len(unit)) + " -----END PRIVATE KEY-----")
    assert time.monotonic() - began < 60


def test_the_private_keys_and_pem_files_of_an_environment_are_secret(tmp_path: Path) -> None:
    session = opened(environment({}), tmp_path, FakeEngine())
    folder = session.paths.folder / "pki"
    folder.mkdir(parents=True)
    for name in ("client.pem", "server.key"):
        (folder / name).write_text(KEY.replace("MIIE", name[:4].upper()))
    hidden = redactor(session)("\n".join(KEY.replace("MIIE", name).splitlines()[1] for name in ("CLIE", "SERV")))
    assert hidden == f"{HIDDEN}\n{HIDDEN}"


def test_where_an_environment_has_its_secrets(tmp_path: Path) -> None:
    service = {
        "env": {"DB_PASSWORD": "in-env-1", "URL": "amqp://u:in-url-2@h/", "LEVEL": "debug-level"},
        "command": ["serve", "--token", "in-argv-3"],
        "files": [
            {"path": "/etc/app.yaml", "content": "user: me-myself\npassword: in-file-4\n"},
            {"path": "/etc/db-secrets.yaml", "content": "first: in-secrets-file-5\n"},
        ],
        "probe": {"type": "http", "headers": {"X-Auth-Token": "in-header-6"}},
    }
    wanted = environment({"app": service}, secrets={"made": {}, "given": "in-given-1212"})
    session = opened(wanted, tmp_path, FakeEngine(), environ={"CI_TOKEN": "in-shell-7"})
    write_private(session.paths.tokens / "someone", "in-token-8888")
    write_private(session.paths.folder / "pki/ca.key", "in-key-9999")
    write_private(session.paths.folder / "secrets/made", "in-made-1111")
    write_private(session.paths.kubeconfig, "users:\n- user: {}\n  client-key-data: aW4ta3ViZWNvbmZpZy0xMA==\n")
    redact = redactor(session)
    for secret in (
        "in-env-1", "in-url-2", "in-argv-3", "in-file-4", "in-secrets-file-5", "in-header-6", "in-shell-7",
        "in-token-8888", "in-key-9999", "aW4ta3ViZWNvbmZpZy0xMA==", "in-made-1111", "in-given-1212",
    ):  # fmt: skip
        assert secret not in redact(f"a line with {secret} in it"), secret
    assert redact("debug-level me-myself serve") == "debug-level me-myself serve"


# The bundle


def bundle(tmp_path: Path, **more: int) -> Bundle:
    return Bundle(tmp_path / "e", Redactor([SECRET]), **more)


def test_files_are_the_users_alone(tmp_path: Path) -> None:
    made = bundle(tmp_path)
    made.text("deep/er/x.txt", "x")
    assert {stat.S_IMODE(path.stat().st_mode) for path in (made.folder, *made.folder.rglob("*")) if path.is_dir()} == {
        0o700
    }
    assert stat.S_IMODE((made.folder / "deep/er/x.txt").stat().st_mode) == 0o600


def test_a_long_file_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    made = bundle(tmp_path)
    lines = [f"line {number} {SECRET}\n" for number in range(2000)]
    made.text("x", "".join(lines), each=4000)
    text = (made.folder / "x").read_text()
    assert text.startswith("line 0 ")
    assert text.endswith(f"line 1999 {HIDDEN}\n")
    assert len(text) < 4200
    assert "left out" in text
    assert any(note.startswith("x: ") for note in made.notes)


@pytest.mark.parametrize("size", [100, 5_000, 500_000])
def test_no_cut_leaves_a_part_of_a_secret(tmp_path: Path, size: int) -> None:
    made = bundle(tmp_path)
    source = tmp_path / "log"
    source.write_text("".join(f"{SECRET} {number}\n" for number in range(size // len(SECRET))))
    made.copy("x", source, each=1000)
    text = (made.folder / "x").read_text()
    assert SECRET[4:9] not in text
    assert len(text) < 1200


def test_all_of_it_is_bounded(tmp_path: Path) -> None:
    made = bundle(tmp_path, total=2500)
    for number in range(5):
        made.text(f"{number}", "x" * 999 + "\n")
    assert sorted(made.files) == ["0", "1"]
    assert len(made.notes) == 3


def test_names_lead_nowhere_else(tmp_path: Path) -> None:
    made = bundle(tmp_path)
    made.text("../../a b/../c", "x")
    made.text(f"log-of-{SECRET}", "x")
    inside = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(path.is_relative_to(made.folder) for path in inside)
    assert not [path for path in inside if "ör" in path.name]


def test_long_names_stay_different(tmp_path: Path) -> None:
    made = bundle(tmp_path)
    for end in ("one.log", "two.log"):
        made.text("x" * 150 + end, "x")
    assert len(made.files) == 2
    assert all(len(name) <= 121 and name.endswith(".log") for name in made.files)


def test_nothing_is_taken_when_it_is_closed(tmp_path: Path) -> None:
    made = bundle(tmp_path)
    made.close()
    threads = [threading.Thread(target=made.text, args=(f"{number}", "x")) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(made.folder.iterdir()) == []


def test_the_archive_has_all_of_it_and_the_folder_goes(tmp_path: Path) -> None:
    made = bundle(tmp_path)
    made.text("a/x", f"{SECRET}\n")
    archive = packed(made.folder)
    assert not made.folder.exists()
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    with tarfile.open(archive) as tar:
        assert tar.extractfile("e/a/x").read() == f"{HIDDEN}\n".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["e.tar.gz"]
