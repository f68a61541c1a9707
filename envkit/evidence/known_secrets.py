"""Finds and hides known secrets in text, in every usual encoding and across line breaks. Pure."""

from __future__ import annotations

import base64
import html
import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote, quote_plus

SHORTEST = 4
"""Minimum length of a value that is hidden everywhere. A shorter one is hidden only next to a secret's name."""

BROKEN = 12
"""Minimum length of a secret that is also found across a line break. The end of one line and the beginning of the next
could form a shorter word by chance."""

LINE = 16
"""Minimum length of a line that is hidden by itself, if the secret has several lines."""

COMMON = frozenset(
    (
        *("true", "false", "none", "null", "yes", "no", "on", "off", "default", "test", "tests", "local", "root"),
        *("admin", "user", "users", "postgres", "postgresql", "redis", "password", "passwd", "secret", "secrets"),
        *("token", "tokens", "key", "keys", "data", "name", "host", "port", "http", "https", "localhost"),
    )
)
"""Common words. They are hidden only next to a secret's name, not everywhere."""

_BREAK = re.compile(r"(?:\r?\n|\\r\\n|\\n)[ \t\r\n]*")
"""A line break and the indentation after it, also if JSON or a shell wrote it as `\\n`. base64 breaks lines at 76
characters, xxd at 60, terminals anywhere."""


def plain_words(public: Iterable[str]) -> frozenset[str]:
    """Return the words, in lower case, that are hidden only next to a secret's name, even if a secret equals them."""
    return COMMON | {word.lower() for word in public}


def worth_hiding(secret: str, plain: frozenset[str]) -> Iterator[str]:
    """Yield the secret, unless it is short or a plain word, and its long lines.

    The lines are needed because logs can put a prefix before each line.
    """
    if len(secret) >= SHORTEST and secret.lower() not in plain and not secret.startswith("${"):
        yield secret
    if "\n" in secret:
        lines = (line.strip() for line in secret.splitlines())
        yield from (line for line in lines if len(line) >= LINE and not line.startswith("-----"))


class KnownSecrets:
    """Hides known secrets in texts."""

    def __init__(self, secrets: Iterable[str], public: Iterable[str], hidden: str) -> None:
        plain = plain_words(public)
        spelt = {_BREAK.sub("", one) for secret in secrets for one in _spelt(secret.strip(), plain)}
        self._spelt = sorted(one for one in spelt if len(one) >= SHORTEST)
        self._hidden = hidden

    def __call__(self, text: str) -> str:
        """Return the text with every secret replaced. Line breaks stay; overlapping secrets are replaced together."""
        joined = _Joined(text)
        spans = _merged([span for secret in self._spelt for span in joined.find(secret)])
        parts, done = [], 0
        for begin, end in (piece for span in spans for piece in joined.pieces(*span)):
            parts += [text[done:begin], self._hidden]
            done = end
        return "".join((*parts, text[done:]))


class _Joined:
    """A text without its line breaks, and the position of each part in the original."""

    def __init__(self, text: str) -> None:
        self._starts, self._originals = [0], [0]
        parts, done, length = [], 0, 0
        for gap in _BREAK.finditer(text):
            parts.append(text[done : gap.start()])
            length += gap.start() - done
            done = gap.end()
            self._starts.append(length)
            self._originals.append(done)
        self._text = "".join((*parts, text[done:]))

    def find(self, secret: str) -> Iterator[tuple[int, int]]:
        """Yield the begin and the end of each occurrence of the secret in the joined text."""
        at = self._text.find(secret)
        while at >= 0:
            end = at + len(secret)
            if len(secret) >= BROKEN or self._part(at) == self._part(end - 1):
                yield at, end
            at = self._text.find(secret, at + 1)

    def pieces(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield where a span of the joined text is in the original text: one pair of begin and end for each line."""
        for part in range(self._part(begin), self._part(end - 1) + 1):
            start = max(begin, self._starts[part])
            stop = min(end, self._starts[part + 1]) if part + 1 < len(self._starts) else end
            if start < stop:
                moved = self._originals[part] - self._starts[part]
                yield start + moved, stop + moved

    def _part(self, at: int) -> int:
        return bisect_right(self._starts, at) - 1


def _merged(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the spans in order, with overlapping ones merged."""
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if merged and begin < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((begin, end))
    return merged


def _spelt(secret: str, plain: frozenset[str]) -> Iterator[str]:
    """Yield every encoding of the secret, and its single lines without encoding."""
    for one in worth_hiding(secret, plain):
        yield from _spellings(one) if one == secret else (one,)


def _spellings(secret: str) -> Iterator[str]:
    """Yield the secret as it is, escaped for URLs, JSON and markup, in digits, and once and twice in base64."""
    raw = secret.encode()
    yield secret
    yield from (quote(secret, safe=""), quote(secret), quote_plus(secret))
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1])
    yield from (html.escape(secret), html.escape(secret, quote=False))
    yield from _as_digits(secret, raw)
    whole = base64.b64encode(raw).decode()
    yield whole
    yield from (whole.rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("="))
    if len(raw) >= 8:
        for inside in _inside_base64(raw):
            yield inside
            yield from _inside_base64(inside.encode())


def _as_digits(secret: str, raw: bytes) -> Iterator[str]:
    r"""Yield the secret with a number for each character: plain hexadecimal digits, `%41`, `\x41` and `\u0041`."""
    for digits in ("{:02x}", "{:02X}"):
        yield "".join(digits.format(byte) for byte in raw)
        yield "".join("%" + digits.format(byte) for byte in raw)
        yield "".join(r"\x" + digits.format(byte) for byte in raw)
    for digits in ("{:04x}", "{:04X}"):
        yield "".join(r"\u" + digits.format(ord(letter)) for letter in secret)


def _inside_base64(raw: bytes) -> Iterator[str]:
    """Yield the base64 of the secret inside a longer text, for each of the three alignments to groups of 3 bytes."""
    for before, dirty in ((0, 0), (1, 2), (2, 3)):
        whole = len(raw) + before - (len(raw) + before) % 3
        encoded = base64.b64encode((b"\0" * before + raw)[:whole]).decode()[dirty:]
        yield encoded
        yield encoded.replace("+", "-").replace("/", "_")
