"""Who is asking. Everything under ``/v1`` is behind a key by construction, and what is under ``/internal`` behind the
fleet's own token: no route can forget to ask.
"""

import hmac
import re
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from agentfleet.api.problems import UNAUTHENTICATED, Problem
from agentfleet.store.api_keys import Principal

PROTECTED: Final = "/v1"
INTERNAL: Final = "/internal"
PRINCIPAL: Final = "agentfleet.principal"
"""Where the asker stands in the ASGI scope."""
KEY: Final = re.compile(r"af_[A-Za-z0-9_-]{20,200}")
REMEMBER_HIT: Final = 30.0
"""Seconds that a revoked key goes on working in a process that has seen it."""
REMEMBER_MISS: Final = 5.0
"""Seconds that a key which has just been made may stay unknown to a process that has seen it too early."""
ASK: Final = {"WWW-Authenticate": 'Bearer realm="agentfleet-internal"'}
MAX_REMEMBERED: Final = 10_000
"""Hits and misses are counted apart, so that guesses cannot push the real keys out."""

Value = TypeVar("Value")
Lookup = Callable[[str], Awaitable[Principal | None]]


class Authenticator:
    """Looks keys up, and remembers the answers for a short time."""

    def __init__(self, lookup: Lookup, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lookup, self._clock = lookup, clock
        self._hits: dict[str, tuple[Principal, float]] = {}
        self._misses: dict[str, float] = {}

    async def __call__(self, key: str) -> Principal | None:
        """Whose ``key`` this is, or ``None``."""
        now = self._clock()
        hit = self._hits.get(key)
        if hit is not None and hit[1] > now:
            return hit[0]
        if self._misses.get(key, 0.0) > now or not KEY.fullmatch(key):
            return None
        who = await self._lookup(key)
        self._hits.pop(key, None)
        if who is None:
            _remember(self._misses, key, now + REMEMBER_MISS)
        else:
            _remember(self._hits, key, (who, now + REMEMBER_HIT))
        return who


class Authenticated:
    """Lets nobody past ``/v1`` without a key, nor past ``/internal`` without ``token``; raises ``Problem`` (401)."""

    def __init__(self, app: ASGIApp, *, token: str | None = None) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _under(scope["path"], INTERNAL):
            self._require_token(scope)
        elif scope["type"] == "http" and _under(scope["path"], PROTECTED):
            authenticate: Authenticator = scope["app"].state.services.authenticate
            key = _bearer(scope)
            who = await authenticate(key) if key is not None else None
            if who is None:
                raise _refused(key)
            scope[PRINCIPAL] = who
        await self._app(scope, receive, send)

    def _require_token(self, scope: Scope) -> None:
        if self._token is None:
            raise Problem(
                UNAUTHENTICATED, "AGENTFLEET_INTERNAL_TOKEN is not set here, so nobody may ask this.", headers=ASK
            )
        given = _bearer(scope)
        if given is None or not hmac.compare_digest(given.encode(), self._token.encode()):
            raise Problem(UNAUTHENTICATED, "Send `Authorization: Bearer` with AGENTFLEET_INTERNAL_TOKEN.", headers=ASK)


def principal(request: Request) -> Principal:
    """Who is asking; for routes under ``/v1``."""
    who: Principal = request.scope[PRINCIPAL]
    return who


def _under(path: str, stem: str) -> bool:
    return path.startswith(stem) and path[len(stem) :][:1] in {"", "/"}


def _bearer(scope: Scope) -> str | None:
    """The key, if exactly one ``Authorization: Bearer`` header holds one."""
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(found) != 1:
        return None
    scheme, _, key = found[0].decode("latin-1").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def _refused(key: str | None) -> Problem:
    why = ', error="invalid_token"' if key else ""
    return Problem(UNAUTHENTICATED, headers={"WWW-Authenticate": f'Bearer realm="agentfleet"{why}'})


def _remember(memory: dict[str, Value], key: str, value: Value) -> None:
    """Keep ``value``; the oldest goes when there is no room."""
    memory.pop(key, None)
    if len(memory) >= MAX_REMEMBERED:
        del memory[next(iter(memory))]
    memory[key] = value
