"""Removes secrets from text: known values in every usual encoding, and text with the form of a secret. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from envkit.evidence.known_secrets import KnownSecrets

HIDDEN = "REDACTED"
"""The replacement for a secret. It is a word, because `*` begins an alias in YAML: valid YAML stays valid."""

_WORD = (
    r"(?:password|passwd|passphrase|secret|token|credential|api[_-]?key|access[_-]?key|private[_-]?key|client-key-data"
)
_WORD += r"|requirepass|masterauth|bearer)"
SECRET_NAME = re.compile(rf"{_WORD}|_KEY\b|_PASS\b|_PWD\b|\bauth$", re.IGNORECASE)
"""Names of variables, keys and files that hold secrets."""

_NO_SECRET = re.compile(
    r"(?:file|files|path|dir|folder|name|names|namespace|ref|seconds|expiry|expiration|expires|type|count|kind|url|uri|"
    r"variable|audiences|version|quota|lifetime|ttl|budget|controller|mount|review|reviews|request)$",
    re.IGNORECASE,
)
"""Ends of names whose values describe a secret but are not secrets, such as `TOKEN_FILE` and `secretName`."""

_HARMLESS = re.compile(
    r"(?:\*+|REDACTED|true|false|null|none|yes|no|not|nil|\d{1,5}|<[^>]*>|\$\{[^}]*\}|\$\w+|[\[{(|>]?)[,.;]?",
    re.IGNORECASE,
)

_BEGIN, _END = (rf"-----{edge} [A-Z0-9 ]{{0,40}}PRIVATE KEY-----" for edge in ("BEGIN", "END"))
_PEM = re.compile(rf"{_BEGIN}(?:.{{0,20000}}?{_END}|[A-Za-z0-9+/=\s\\]*)", re.DOTALL)
_TAIL = re.compile(rf"(?:[A-Za-z0-9+/=]{{20,80}}\\n){{1,100}}{_END}")
_LINE = re.compile(r"[A-Za-z0-9+/=]{16,}")
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*)?|(?<!\w)ZXlK[A-Za-z0-9+/]{30,}=*")
_KNOWN = re.compile(
    r"\b(?:gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,200}|A[KS]IA[0-9A-Z]{16}|xox[abprs]-[\w-]{10,200}"
    r"|[sr]k[-_][\w-]{20,200}|npm_\w{30,200}|AIza[\w-]{30,200}|ya29\.[\w-]{20,500}|GOCSPX-[\w-]{20,200}"
    r"|hv[sbr]\.[\w-]{20,200}|dckr_[op]at_[\w-]{20,200}|pypi-[\w-]{30,500})"
)
"""Tokens with a known prefix: GitHub, GitLab, AWS, Slack, OpenAI, Stripe, npm, Google, Vault, Docker, PyPI."""
_USERINFO = re.compile(r"(://[^:/@\s\"'<>]{0,200}:)[^@/\s\"'<>]{1,500}(@)|(://)[^:/@\s\"'<>]{16,500}(@)")
_HEADER = re.compile(
    r"\b((?:authorization|cookie|set-cookie|x-[\w-]{0,40}(?:token|key|secret))\\?[\"']?\s*[:=]\s*\\?[\"']?)([^\r\n\"']+)",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b((?:bearer|basic)\s+)(?=[\w.~+/-]{0,500}[\d=])[\w.~+/=-]{8,}", re.IGNORECASE)
_QUOTED = r"\"(?:[^\"\\\n]|\\.)*\"|\\+\"[^\"\\\n]*\\+\"|'[^'\n]*'"
_PAIR = re.compile(
    rf"({_WORD}[\w.-]{{0,60}})(\\*[\"']?\s*(?:=>|=|:(?!//))\s*)"
    rf"({_QUOTED}|\$\{{[^}}\n]{{0,200}}\}}|(?:[^\s,;&}}\]\"']|[,\"'](?=\w))+)",
    re.IGNORECASE,
)
_NAMED = re.compile(
    rf"(\bname\\*[\"']?\s*[:=]\s*\\*[\"']?[\w.-]{{0,60}}{_WORD}[\w.-]{{0,60}}\\*[\"']?\s*,?\s*\\*[\"']?value\\*[\"']?\s*[:=]\s*)"
    rf"({_QUOTED}|[^\s,}}\]\"']+)",
    re.IGNORECASE,
)
_SHORT = re.compile(
    rf"((?<![A-Za-z])(?:pass|pwd)\\*[\"']?\s{{0,9}}[=:]\s{{0,9}}|(?<![A-Za-z])(?:\w{{1,60}}_)?(?:PASS|PWD)\\*[\"']?=)"
    rf"({_QUOTED}|[^\s,;&}}\]\"']+)"
)
"""Short names of passwords in their usual spelling. Case matters, because go test prints `PASS: TestName`."""

_CURL = re.compile(
    r"(\bcurl\b[^\n]{0,2000}?[\s\"'](?:-u|--user|--proxy-user)[\"'\s,=]{0,9}[^\s:\"',]{1,200}:)([^\s\"']+)",
    re.IGNORECASE,
)
_PATH = re.compile(r"(?:~|\.{1,2})?/.*/|file:", re.DOTALL)
_OPTION = re.compile(
    rf"(--?(?:{_WORD})[\w-]{{0,60}}(?:[\"']\s*,\s*[\"']|['\"]?\s+(?:- )?['\"]?))([^\s\"'-][^\s\"']*)", re.IGNORECASE
)
"""Matches an option with a secret's name and its value on a command line. All these patterns limit repetitions that
could begin anywhere, so that a hostile log does not take minutes."""


class Redactor:
    """Removes secrets from text. It keeps the words in `public`, even if a secret has the same value."""

    def __init__(self, secrets: Iterable[str] = (), public: Iterable[str] = ()) -> None:
        self._known = KnownSecrets(secrets, public, HIDDEN)

    def __call__(self, text: str) -> str:
        """Return the text without secrets. Line breaks stay, except inside a private key."""
        text = self._known(text)
        for needles, hide, by_line in _PASSES:
            lowered = text.lower()
            if any(needle in lowered for needle in needles):
                text = _in_lines(text, needles, hide) if by_line else hide(text)
        return text


def _pair(found: re.Match[str]) -> str:
    *names, value = found.groups()
    name, between = names[0], "".join(names[1:])
    bare = value.strip("\\\"'")
    if _NO_SECRET.search(name) or _HARMLESS.fullmatch(bare) or _PATH.match(bare):
        return found[0]
    return f"{name}{between}{_quoted(value)}"


def _quoted(value: str) -> str:
    """Return the replacement in the same quotes as the value, so that JSON stays valid."""
    opening = re.match(r"\\*[\"']", value)
    return f"{opening[0]}{HIDDEN}{opening[0]}" if opening else HIDDEN


def _private_key(text: str) -> str:
    """Return the text without private keys: whole ones, and the beginning or the end of one that was cut."""
    text = _TAIL.sub(HIDDEN, _PEM.sub(HIDDEN, text))
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        if "PRIVATE KEY-----" in line and "-----END" in line:
            before = number - 1
            while before >= 0 and (words := lines[before].split()) and _LINE.fullmatch(words[-1]):
                lines[before] = lines[before].replace(words[-1], HIDDEN)
                before -= 1
    return "".join(lines)


def _userinfo(found: re.Match[str]) -> str:
    return f"{found[1] or found[3]}{HIDDEN}@"


def _in_lines(text: str, needles: tuple[str, ...], hide: Callable[[str], str]) -> str:
    """Apply `hide` only to lines that contain a needle, because the patterns are slow and most lines need no change."""
    lines = text.splitlines(keepends=True)
    return "".join(hide(line) if any(needle in line.lower() for needle in needles) else line for line in lines)


_BEGINNINGS = (
    *("gh", "glpat-", "akia", "asia", "xox", "sk-", "sk_", "rk_", "npm_", "aiza", "ya29.", "gocspx-", "hvs.", "hvb."),
    *("hvr.", "dckr_", "pypi-"),
)
_NEEDLES = ("pass", "secret", "token", "credential", "key", "auth", "bearer")
_PASSES: tuple[tuple[tuple[str, ...], Callable[[str], str], bool], ...] = (
    (("private key",), _private_key, False),
    (("eyj", "zxlk"), lambda text: _JWT.sub(HIDDEN, text), True),
    (_BEGINNINGS, lambda text: _KNOWN.sub(HIDDEN, text), True),
    (("://",), lambda text: _USERINFO.sub(_userinfo, text), True),
    (("authorization", "cookie", "x-"), lambda text: _HEADER.sub(rf"\1{HIDDEN}", text), True),
    (("bearer", "basic"), lambda text: _BEARER.sub(rf"\1{HIDDEN}", text), True),
    (_NEEDLES, lambda text: _NAMED.sub(lambda found: f"{found[1]}{_quoted(found[2])}", text), False),
    (_NEEDLES, lambda text: _PAIR.sub(_pair, text), True),
    (("pass", "pwd"), lambda text: _SHORT.sub(_pair, text), True),
    (("curl",), lambda text: _CURL.sub(rf"\1{HIDDEN}", text), True),
    (("--",), lambda text: _OPTION.sub(rf"\1{HIDDEN}", text), False),
)
"""For each pass: the needles (one must be in the lower-case text), the function, and whether it works line by line."""
