"""Secrets taken out of text: known values however they are spelt, and what looks like a secret. Pure."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote, quote_plus

HIDDEN = "REDACTED"
"""A word, because stars are an alias in YAML: what was well-formed stays so."""

SHORTEST = 4
"""Letters of a value that is searched for as such; a shorter one is hidden only where its name stands beside it."""

LINE = 16
"""Letters of a line that gives a secret of several lines away."""

COMMON = frozenset(
    (
        *("true", "false", "none", "null", "yes", "no", "on", "off", "default", "test", "tests", "local", "root"),
        *("admin", "user", "users", "postgres", "postgresql", "redis", "password", "passwd", "secret", "secrets"),
        *("token", "tokens", "key", "keys", "data", "name", "host", "port", "http", "https", "localhost"),
    )
)
"""Words that say nothing: hidden where a secret's name stands beside them, not everywhere."""

_WORD = (
    r"(?:password|passwd|passphrase|secret|token|credential|api[_-]?key|access[_-]?key|private[_-]?key|client-key-data"
)
_WORD += r"|requirepass|masterauth|bearer)"
SECRET_NAME = re.compile(rf"{_WORD}|_KEY\b|_PASS\b|_PWD\b|\bauth$", re.IGNORECASE)
"""Names of variables, keys and files whose value is a secret."""

_NO_SECRET = re.compile(
    r"(?:file|files|path|dir|folder|name|names|namespace|ref|seconds|expiry|expiration|expires|type|count|kind|url|uri|"
    r"variable|audiences|version|quota|lifetime|ttl|budget|controller|mount|review|reviews|request)$",
    re.IGNORECASE,
)
"""Ends of names that speak about a secret: `TOKEN_FILE`, `secretName`."""

_HARMLESS = re.compile(
    r"(?:\*+|REDACTED|true|false|null|none|yes|no|not|nil|\d{1,5}|<[^>]*>|\$\{[^}]*\}|\$\w+|[\[{(|>]?)[,.;]?",
    re.IGNORECASE,
)

_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_PEM_END = re.compile(r"(?:[ \t]*[A-Za-z0-9+/=]{20,}(?:\\n|\r?\n))+[ \t]*-----END [A-Z0-9 ]*PRIVATE KEY-----")
_JWT = re.compile(r"\beyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*)?|\bZXlK[A-Za-z0-9+/]{30,}=*")
_KNOWN = re.compile(
    r"\b(?:gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|AKIA[0-9A-Z]{16}|xox[abprs]-[\w-]{10,}|sk-[\w-]{20,})"
)
_USERINFO = re.compile(r"(://[^:/@\s\"'<>]*:)[^@/\s\"'<>]+(@)|(://)[^:/@\s\"'<>]{16,}(@)")
_HEADER = re.compile(r"\b((?:authorization|cookie|set-cookie|x-[\w-]*(?:token|key|secret))\\?[\"']?\s*[:=]\s*\\?[\"']?)([^\r\n\"']+)", re.IGNORECASE)  # fmt: skip  # noqa: E501
_BEARER = re.compile(r"\b((?:bearer|basic)\s+)(?=[\w.~+/-]*[\d=])[\w.~+/=-]{8,}", re.IGNORECASE)
_PAIR = re.compile(
    rf"({_WORD}[\w.-]*)(\\*[\"']?\s*(?:=>|=|:(?!//))\s*)(\"(?:[^\"\\\n]|\\.)*\"|\\+\"[^\"\\\n]*\\+\"|'[^'\n]*'|\$\{{[^}}\n]*\}}|(?:[^\s,;&}}\]\"']|[,\"'](?=\w))+)",
    re.IGNORECASE,
)
_NAMED = re.compile(
    rf"(\bname\\*[\"']?\s*[:=]\s*\\*[\"']?[\w.-]*{_WORD}[\w.-]*\\*[\"']?\s*,?\s*\\*[\"']?value\\*[\"']?\s*[:=]\s*)"
    r"(\"(?:[^\"\\\n]|\\.)*\"|\\+\"[^\"\\\n]*\\+\"|'[^'\n]*'|[^\s,}\]\"']+)",
    re.IGNORECASE,
)
_OPTION = re.compile(rf"(--?(?:{_WORD})[\w-]*(?:[\"']\s*,\s*[\"']|['\"]?\s+['\"]?))([^\s\"'-][^\s\"']*)", re.IGNORECASE)


class Redactor:
    """Takes secrets out of text. `public` are words of the environment that are no secret even if one is spelt so."""

    def __init__(self, secrets: Iterable[str] = (), public: Iterable[str] = ()) -> None:
        plain = COMMON | {word.lower() for word in public}
        spelt = {one for secret in secrets for part in _parts(secret, plain) for one in _spellings(part)}
        ordered = sorted(spelt, key=lambda one: (-len(one), one))
        self._known = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, text: str) -> str:
        """The text without secrets; lines stay lines, but for a private key's."""
        if self._known:
            text = self._known.sub(HIDDEN, text)
        for needles, hide, by_line in _PASSES:
            lowered = text.lower()
            if any(needle in lowered for needle in needles):
                text = _in_lines(text, needles, hide) if by_line else hide(text)
        return text


def _parts(secret: str, plain: frozenset[str] | set[str]) -> Iterator[str]:
    """The secret, and each telling line of one that has several: logs put something before every line."""
    secret = secret.strip()
    if len(secret) >= SHORTEST and secret.lower() not in plain and not secret.startswith("${"):
        yield secret
    if "\n" in secret:
        lines = (line.strip() for line in secret.splitlines())
        yield from (line for line in lines if len(line) >= LINE and not line.startswith("-----"))


def _spellings(secret: str) -> Iterator[str]:
    """As it is, in URLs, in JSON and markup, and in base64, also in the middle of a longer text."""
    yield secret
    yield from (quote(secret, safe=""), quote(secret), quote_plus(secret))
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1])
    yield from (html.escape(secret), html.escape(secret, quote=False))
    raw = secret.encode()
    whole = base64.b64encode(raw).decode()
    yield whole
    yield from (whole.rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("="))
    if len(raw) >= 8:
        yield from _inside_base64(raw)


def _inside_base64(raw: bytes) -> Iterator[str]:
    """What stands in the base64 of a longer text, whichever of the three ways it falls into groups of three bytes."""
    for before, dirty in ((0, 0), (1, 2), (2, 3)):
        whole = len(raw) + before - (len(raw) + before) % 3
        encoded = base64.b64encode((b"\0" * before + raw)[:whole]).decode()[dirty:]
        yield encoded
        yield encoded.replace("+", "-").replace("/", "_")


def _pair(found: re.Match[str]) -> str:
    name, between, value = found.groups()
    bare = value.strip("\\\"'")
    if _NO_SECRET.search(name) or _HARMLESS.fullmatch(bare) or bare.count("/") > 1:
        return found[0]
    return f"{name}{between}{_quoted(value)}"


def _quoted(value: str) -> str:
    """Hidden, in the quotes that it had: JSON stays JSON."""
    opening = re.match(r"\\*[\"']", value)
    return f"{opening[0]}{HIDDEN}{opening[0]}" if opening else HIDDEN


def _userinfo(found: re.Match[str]) -> str:
    return f"{found[1] or found[3]}{HIDDEN}@"


def _in_lines(text: str, needles: tuple[str, ...], hide: Callable[[str], str]) -> str:
    """Lines that have a needle, hidden: the patterns are slow, and most lines have none."""
    lines = text.splitlines(keepends=True)
    return "".join(hide(line) if any(needle in line.lower() for needle in needles) else line for line in lines)


_NEEDLES = ("pass", "secret", "token", "credential", "key", "auth", "bearer")
_PASSES: tuple[tuple[tuple[str, ...], Callable[[str], str], bool], ...] = (
    (("private key",), lambda text: _PEM_END.sub(HIDDEN, _PEM.sub(HIDDEN, text)), False),
    (("eyj", "zxlk"), lambda text: _JWT.sub(HIDDEN, text), True),
    (("gh", "glpat-", "akia", "xox", "sk-"), lambda text: _KNOWN.sub(HIDDEN, text), True),
    (("://",), lambda text: _USERINFO.sub(_userinfo, text), True),
    (("authorization", "cookie", "x-"), lambda text: _HEADER.sub(rf"\1{HIDDEN}", text), True),
    (("bearer", "basic"), lambda text: _BEARER.sub(rf"\1{HIDDEN}", text), True),
    (_NEEDLES, lambda text: _NAMED.sub(lambda found: f"{found[1]}{_quoted(found[2])}", text), False),
    (_NEEDLES, lambda text: _PAIR.sub(_pair, text), True),
    (("--",), lambda text: _OPTION.sub(rf"\1{HIDDEN}", text), False),
)
"""What must be in a text, in small letters, for a pattern to be tried; the pattern; whether line by line."""
