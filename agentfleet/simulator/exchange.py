"""One HTTP call, from its headers to the last byte of its answer, with its line in the request log."""

import asyncio
import hashlib
import socket
import struct
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import Any, TypeAlias, cast
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from agentfleet.simulator.armed import Call, EndpointName, on_menu
from agentfleet.simulator.errors import TYPE_BY_STATUS, ApiError, error_body
from agentfleet.simulator.faults import Fault
from agentfleet.simulator.log import Entry
from agentfleet.simulator.scripts import SCENARIO
from agentfleet.simulator.state import Simulator
from agentfleet.simulator.wire import JSON_TYPE, Headers, Json, encode, fresh_id, header_pairs

TRANSPORT = "agentfleet.transport"  # ASGI extension that serve.py adds: the socket behind the call
MAX_PAGE = 1000
ABORTIVE_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: the peer sees a reset, not an end of file


class ClientGone(Exception):
    """The client closed the connection before the answer was complete."""


class Exchange:
    """The call. `body` is the parsed request once the handler has parsed it."""

    def __init__(
        self, simulator: Simulator, endpoint: EndpointName, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self.simulator = simulator
        self.endpoint: EndpointName = endpoint
        self.scope = scope
        self.headers: dict[str, str] = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        self.raw = b""
        self.body: Json = {}
        self._receive = receive
        self._send = send
        self._gone: asyncio.Future[None] | None = None
        key = self.headers.get("x-api-key") or self.headers.get("authorization", "").removeprefix("Bearer ").strip()
        digest = hashlib.sha256(key.encode()).hexdigest()[:12]
        self.organization = simulator.organization(key, digest)
        self.entry = Entry(
            id=fresh_id("req_"),
            at=simulator.clock(),
            endpoint=endpoint,
            path=scope["path"],
            key=digest if key else None,
            organization=self.organization,
            attempt=int(self.headers.get("x-stainless-retry-count") or 0),
            tags={name: value for name, value in self.headers.items() if name.startswith("x-agentfleet-")},
            scenario=scope["path_params"].get("scenario"),
        )
        self._due = self.entry.at

    def query(self, name: str) -> str | None:
        """A parameter of the query string."""
        return next(iter(self.queries(name)), None)

    def queries(self, name: str) -> list[str]:
        """A parameter of the query string that may be repeated, as `name` or `name[]`."""
        query = parse_qs(self.scope["query_string"].decode())
        return [*query.get(name, []), *query.get(name + "[]", [])]

    def page_limit(self, default: int = 20) -> int:
        """The `limit` parameter of a list: 1 to 1000, or 400."""
        asked = self.query("limit") or str(default)
        if not asked.isdigit() or not 1 <= int(asked) <= MAX_PAGE:
            raise ApiError.invalid(f"limit: Input should be from 1 to {MAX_PAGE}")
        return int(asked)

    async def read(self) -> None:
        """Read the request body."""
        more, parts = True, list[bytes]()
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        self.raw = b"".join(parts)
        self.entry.body = hashlib.blake2b(self.raw, digest_size=8).hexdigest()

    def authenticate(self) -> None:
        """401 without a key, 400 without an API version."""
        if self.entry.key is None:
            raise ApiError(401, "x-api-key header is required")
        if "anthropic-version" not in self.headers:
            raise ApiError.invalid("anthropic-version: header is required")

    def pick_fault(self) -> Fault | None:
        """The fault of the base URL's scenario, else one that is armed for this call; noted in the log."""
        entry = self.entry
        if entry.scenario is not None and not entry.scenario.startswith(SCENARIO):
            fault = on_menu(entry.scenario)
        else:
            call = Call(self.endpoint, self.organization, entry.model, self.raw, entry.turn)
            fault = self.simulator.faults.strike(call)
        entry.fault = fault.name if fault else None
        return fault

    async def send_json(self, status: int, payload: Json, headers: Headers | None = None) -> None:
        """A whole JSON answer."""
        await self.send_whole(status, encode(payload), JSON_TYPE, headers or [])

    async def send_whole(self, status: int, data: bytes, content_type: tuple[bytes, bytes], headers: Headers) -> None:
        """A whole answer of any type."""
        length = (b"content-length", b"%d" % len(data))
        await self.start(status, [content_type, length, *headers])
        await self.write(data, last=True)

    async def send_error(self, error: ApiError) -> None:
        """The service's error answer. 429 and 5xx ask for a retry unless the error says otherwise."""
        headers = dict(error.headers)
        if error.status == 429 or error.status >= 500:
            headers.setdefault("x-should-retry", "true")
        kind = TYPE_BY_STATUS[error.status]
        self.entry.error = error.error_code or kind
        body = error_body(kind, error.message, request_id=self.entry.id, error_code=error.error_code)
        await self.send_json(error.status, body, header_pairs(headers))

    async def start(self, status: int, headers: Headers) -> None:
        """Send the status and headers; a header given here replaces the one every answer carries."""
        self.entry.status = status
        self.entry.retry_after = _retry_after(dict(headers), self.simulator.clock())
        given = {name for name, _ in headers}
        common = [pair for pair in self._common_headers() if pair[0] not in given]
        await self._send({"type": "http.response.start", "status": status, "headers": [*headers, *common]})

    async def write(self, data: bytes, *, last: bool = False) -> None:
        """Send a part of the body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})

    async def wait(self, seconds: float) -> None:
        """Let time pass on the simulator's clock; ClientGone as soon as the client hangs up."""
        if seconds <= 0:
            return
        if self._gone is None:
            self._gone = asyncio.ensure_future(self._hung_up())
        clock = self.simulator.clock
        self._due += seconds  # on from the last wait, not from now: a clock that has jumped ahead ends them all
        while True:
            changed = clock.changed()
            left = self._due - clock()
            if left <= 0:
                return
            done, _ = await asyncio.wait(
                {self._gone, changed}, timeout=clock.real(left), return_when=asyncio.FIRST_COMPLETED
            )
            if self._gone in done:
                raise ClientGone

    async def reset(self) -> None:
        """Break the connection so that the client sees a reset; needs the protocol of serve.py."""
        await asyncio.sleep(0)  # what was written before must leave the process first
        transport = cast("asyncio.Transport", self.scope["extensions"][TRANSPORT])
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORTIVE_CLOSE)
        transport.abort()
        self.entry.outcome = "broken"
        await self._hung_up()

    def close(self) -> None:
        """Stop listening for a hang-up."""
        if self._gone is not None:
            self._gone.cancel()

    def _common_headers(self) -> Headers:
        headers: Headers = [(b"request-id", self.entry.id.encode())]
        if self.entry.key is None:
            return headers
        organization = hashlib.blake2b(self.organization.encode(), digest_size=16).hexdigest()
        headers.append((b"anthropic-organization-id", organization.encode()))
        headers.append((b"anthropic-workspace-id", b"wrkspc_" + organization[:24].encode()))
        if self.entry.bucket is not None:
            scope = (self.organization, self.entry.bucket)
            headers += self.simulator.buckets.headers(scope, self.simulator.clock())
        return headers

    async def _hung_up(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


Handler: TypeAlias = Callable[[Exchange], Awaitable[Any]]


class Endpoint:
    """An ASGI endpoint around a handler: opens the exchange, turns ApiError into an answer, closes the log line."""

    def __init__(self, simulator: Simulator, name: EndpointName, handler: Handler) -> None:
        self.simulator = simulator
        self.name: EndpointName = name
        self.handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        exchange = Exchange(self.simulator, self.name, scope, receive, send)
        entry, log = exchange.entry, self.simulator.log
        log.open(entry)
        try:
            await exchange.read()
            await self.handler(exchange)
            entry.outcome = "completed" if entry.outcome == "open" else entry.outcome
        except ApiError as error:
            entry.outcome = "failed"
            await exchange.send_error(error)
        except ClientGone:
            entry.outcome = "abandoned"
        finally:
            exchange.close()
            log.close(entry, self.simulator.clock())


def _retry_after(headers: dict[bytes, bytes], now: float) -> float | None:
    """How many seconds an answer asks to wait, in any of the three dialects."""
    if (milliseconds := headers.get(b"retry-after-ms")) is not None:
        return float(milliseconds) / 1000
    if (after := headers.get(b"retry-after")) is None:
        return None
    try:
        return float(after)
    except ValueError:
        return max(0.0, parsedate_to_datetime(after.decode()).timestamp() - now)
