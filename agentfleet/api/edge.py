"""The outermost layer: every request gets an id, a size limit, a measurement and, whatever happens, an answer of ours.

Plain ASGI: a layer built on response objects would cost more than accepting a run does.
"""

import re
import secrets
import time
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentfleet.api.problems import BODY_TOO_LARGE, Problem
from agentfleet.api.translate import REQUEST_ID, answer, problem_of
from agentfleet.telemetry import metrics

log = structlog.get_logger("agentfleet.api")

GIVEN_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
"""Request ids of clients that are safe in a log line and a header."""
UNMATCHED: Final = "unmatched"
"""The route label of requests that no route answers: paths are the clients' choice, so never a label."""


class Edge:
    """Wraps the whole application. ``max_body`` in bytes."""

    def __init__(self, app: ASGIApp, *, max_body: int) -> None:
        self._app, self._max_body = app, max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._max_body)
        with structlog.contextvars.bound_contextvars(request_id=exchange.request_id):
            try:
                exchange.check_length()
                await self._app(scope, exchange.receive, exchange.send)
            except Exception as error:
                if exchange.started:
                    log.exception("response_cut_off", path=scope["path"])
                    raise  # only closing the connection can still tell the client
                await answer(problem_of(error), scope)(scope, receive, exchange.send)


class _Exchange:
    """One request on its way in and its response on its way out."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, max_body: int) -> None:
        self._scope, self._receive, self._send, self._room = scope, receive, send, max_body
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        self._begun = time.monotonic()
        self.started = False
        given = self._headers.get(b"x-request-id", b"")
        self._id = given if GIVEN_ID.fullmatch(given) else secrets.token_hex(16).encode()
        self.request_id = scope[REQUEST_ID] = self._id.decode()

    def check_length(self) -> None:
        """Refuse a body that is declared too large before reading it."""
        declared = self._headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared[:20]) > self._room:
            raise Problem(BODY_TOO_LARGE)

    async def receive(self) -> Message:
        """The next piece of the body, which may come in chunks and declare nothing."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._room -= len(message.get("body", b""))
            if self._room < 0:
                raise Problem(BODY_TOO_LARGE)
        return message

    async def send(self, message: Message) -> None:
        """Send on; the start of a response gets the headers that every response has, and is measured."""
        if message["type"] == "http.response.start":
            self.started = True
            headers = [
                *message.get("headers", ()),
                (b"x-request-id", self._id),
                (b"x-content-type-options", b"nosniff"),
            ]
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-store"))
            message["headers"] = headers
            self._measure(message["status"])
        await self._send(message)

    def _measure(self, status: int) -> None:
        """Until the response starts: an event stream's length is the client's choice."""
        route = getattr(self._scope.get("route"), "path", UNMATCHED)
        metrics.HTTP_DURATION.labels(route, self._scope["method"], status).observe(time.monotonic() - self._begun)
