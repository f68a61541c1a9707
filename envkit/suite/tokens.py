"""Bearer tokens that are valid when they are read; this module renews a token before it expires."""

from __future__ import annotations

import base64
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envkit.base.errors import SuiteError
from envkit.drivers.clusters.tokens import ends_within
from envkit.suite.environment import Environment

if TYPE_CHECKING:
    from envkit.drivers.clusters.api import Api

LAST_PART = 0.25
"""Share of a token's lifetime. A token with less time left is renewed; `env` and `run` use the same share."""

RENEW_SECONDS = 15.0
AUTHORIZED, UNAUTHORIZED = "_AUTHORIZED_TOKEN", "_UNAUTHORIZED_TOKEN"
"""Ends of the names of the variables with the two usual tokens; the profile chooses how the names begin."""


class Tokens:
    """The tokens that the environment exports, by the name of the variable.

    `tokens.authorized` is a string to send now; do not store it, because it expires. The file that `..._TOKEN_FILE`
    names takes precedence over the variable, because envkit renews the file while a suite runs. If a token is about to
    expire, this class requests a new token with the administrator's kubeconfig and writes it to the file, so that other
    processes get it too.
    """

    def __init__(self, environment: Environment | None = None, clock: Callable[[], float] = time.time) -> None:
        self._environment = environment or Environment()
        self._clock = clock
        self._renewed: dict[str, str] = {}

    @property
    def authorized(self) -> str:
        """The token in the variable `..._AUTHORIZED_TOKEN`: its account has the rights of the service under test."""
        return self._only(AUTHORIZED)

    @property
    def unauthorized(self) -> str:
        """The token in the variable `..._UNAUTHORIZED_TOKEN`: its account has no rights."""
        return self._only(UNAUTHORIZED)

    def _only(self, suffix: str) -> str:
        """Return the token in the variable whose name ends with `suffix`.

        Raises `SuiteError` if there is no such variable, or more than one.
        """
        found = self._environment.ending(suffix)
        if len(found) > 1:
            raise SuiteError(
                f"several variables end with {suffix}: {', '.join(found)}", hint='name one: tokens["VARIABLE"]'
            )
        return self[found[0] if found else f"...{suffix}"]

    def __getitem__(self, variable: str) -> str:
        """Return the variable's token, valid now.

        Raises `SuiteError` if there is no token, or if it expires soon and cannot be renewed.
        """
        text = self._newest(variable)
        if not self._ends(text):
            return text
        from filelock import FileLock

        with FileLock(_lock_of(variable, self._environment.get(f"{variable}_FILE") or ""), timeout=RENEW_SECONDS * 2):
            text = self._newest(variable)  # another process may have renewed it
            return text if not self._ends(text) else self._renew(variable, text)

    def _newest(self, variable: str) -> str:
        name = self._environment.get(f"{variable}_FILE")
        try:
            text = Path(name).read_text().strip() if name else self._environment[variable]
        except OSError as error:
            raise SuiteError(f"{variable}_FILE names {name}, which cannot be read: {error.strerror}") from error
        kept = self._renewed.get(variable, "")
        return kept if kept and self._ends(text) else text

    def _ends(self, text: str) -> bool:
        claims = claims_of(text)
        if "exp" not in claims:
            return False  # not a JWT: its expiry is unknown
        lifetime = float(claims["exp"]) - float(claims.get("iat", claims["exp"]))
        return ends_within(text, lifetime * LAST_PART, self._clock)

    def _renew(self, variable: str, old: str) -> str:
        from envkit.base.paths import write_private

        namespace, account, seconds, audiences = _account(variable, old)
        api = self._environment.kubernetes()
        text = issue_token(namespace, account, seconds=seconds, audiences=audiences, api=api)
        self._renewed[variable] = text
        name = self._environment.get(f"{variable}_FILE")
        if name:
            with suppress(OSError):  # if the file cannot be written, only this process has the new token
                write_private(Path(name), text)
        return text


def issue_token(
    namespace: str, account: str, *, seconds: int = 3600, audiences: tuple[str, ...] = (), api: Api | None = None
) -> str:
    """Request a new token of a ServiceAccount, as the administrator, and return it.

    The token is valid for about `seconds`. Raises `SuiteError` if the API server refuses or does not answer.
    """
    from envkit.base.waiting import Cancel
    from envkit.drivers.clusters.api import ApiError, Busy
    from envkit.drivers.clusters.identities import new_token
    from envkit.drivers.clusters.steps import Steps
    from envkit.suite.objects import admin

    asked = api or admin()
    steps = Steps(RENEW_SECONDS, lambda _line: None, Cancel())
    try:
        return steps.ask(lambda: new_token(asked, namespace, account, seconds, audiences))
    except (ApiError, Busy) as error:
        raise SuiteError(f"no token for {namespace}/{account}: {error.message}") from error


def claims_of(token: str) -> Mapping[str, Any]:
    """Return the claims of a JWT without verifying it, or an empty mapping if the token is not a JWT."""
    try:
        payload = token.split(".")[1]
        return dict(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))
    except (ValueError, IndexError, TypeError):
        return {}


def _account(variable: str, token: str) -> tuple[str, str, int, tuple[str, ...]]:
    claims = claims_of(token)
    bound = claims.get("kubernetes.io") or {}
    try:
        seconds = max(600, int(claims["exp"] - claims["iat"]))  # the API server's minimum
        audiences = claims.get("aud") or ()
        named = (audiences,) if isinstance(audiences, str) else tuple(audiences)
        return str(bound["namespace"]), str(bound["serviceaccount"]["name"]), seconds, named
    except (KeyError, TypeError) as error:
        raise SuiteError(
            f"{variable} expires soon and is not a ServiceAccount's token",
            hint="`envkit env` and `envkit run` renew the tokens that envkit created",
        ) from error


def _lock_of(variable: str, file: str) -> str:
    """Return the path of the lock for the renewal of a token; all workers of this user get the same path.

    The lock is in the folder of the token's file, which `down` removes. Without a file it is in the temporary folder.
    """
    if file:
        return f"{file}.lock"
    from hashlib import sha256

    key = sha256(f"{os.getuid()}\0{variable}".encode()).hexdigest()[:16]
    return str(Path(tempfile.gettempdir()) / f"envkit-token-{key}.lock")
