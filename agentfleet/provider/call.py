"""One call of the Messages API, from its request to the last byte of its answer."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import date
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Protocol

from agentfleet import failpoints
from agentfleet.domain.budget import Usage
from agentfleet.domain.errors import ProviderUnavailable
from agentfleet.engine.ports import Reasoned, ReasonRequest
from agentfleet.provider.answer import Answer
from agentfleet.provider.body import dumps, request_body, room
from agentfleet.provider.models import max_output
from agentfleet.provider.platforms import Endpoint
from agentfleet.provider.prices import cost, find_price
from agentfleet.provider.refusals import refused

if TYPE_CHECKING:
    from httpx2 import Response

STREAM = failpoints.declare("stream", lambda: ProviderUnavailable("failpoint stream"), repeatable=False)

LAST_BYTES_SECONDS = 1.0
"""How long to wait for the end of a stream that has said everything, so that its connection can be used again."""


class Watcher(Protocol):
    """Hears of a call what its bucket should know, as soon as it is known."""

    def opened(self, headers: Mapping[str, str]) -> None: ...
    def begun(self, usage: Mapping[str, Any]) -> None: ...
    def spoken(self) -> None: ...


class Call:
    """What is known of the call so far stays readable when it fails: ``request_id``, ``answer``."""

    def __init__(
        self, request: ReasonRequest, on_text: Callable[[str], None] | None, watcher: Watcher | None = None
    ) -> None:
        self.request_id: str | None = None
        self.answer = Answer()
        self.first_token: float | None = None
        """Seconds from the request to the first delta."""
        self._request = request
        self._on_text, self._watcher = on_text, watcher
        self._started, self._day = time.monotonic(), date.max

    @property
    def usage(self) -> Usage:
        """What it has cost, as far as the provider has said so: at least its prompt, once its answer has begun.

        Raises ``LookupError``, ``TypeError`` or ``ValueError`` when what it said is malformed.
        """
        raw = self.answer.usage
        # A cloud may call the model by a name of its own.
        model = self.answer.model if find_price(self.answer.model, date.max, 0) else self._request.model
        return Usage(
            raw.get("input_tokens") or 0,
            raw["output_tokens"],
            raw.get("cache_read_input_tokens") or 0,
            raw.get("cache_creation_input_tokens") or 0,
            cost(raw, model, self._day),
        )

    async def run(self, endpoint: Endpoint) -> Reasoned:
        """The complete turn; raises whatever comes out of the SDK, and ``ValueError`` when the stream is malformed."""
        from agentfleet.provider.http import RawStream

        request = self._request
        stream = await endpoint.client.post(
            endpoint.path(request.model),
            content=request_body(request, endpoint.envelope(request.model)),
            options={"headers": {"x-agentfleet-run": request.run_id, "x-agentfleet-step": request.step_id}},
            cast_to=object,
            stream=True,
            stream_cls=RawStream,
        )
        try:
            await self._read(stream.response, endpoint)
        finally:
            with suppress(Exception):  # the answer is whole, or its own error is on the way
                await stream.close()
        return self._reasoned()

    async def _read(self, response: "Response", endpoint: Endpoint) -> None:
        self._day = _day(response.headers)
        self.request_id = response.headers.get("request-id") or response.headers.get("x-amzn-requestid")
        if self._watcher is not None:
            self._watcher.opened(response.headers)
        content_type = response.headers.get("content-type", "")
        if not content_type.startswith(endpoint.content_type):
            raise ProviderUnavailable("the answer is not an event stream", content_type=content_type)
        arriving = endpoint.events(response)
        async for name, data in arriving:
            if name == "error":
                raise refused(200, _parsed(data), response.headers)
            if name == "content_block_delta" and self.first_token is None:
                self.first_token = time.monotonic() - self._started
                STREAM.before()
                if self._watcher is not None:
                    self._watcher.spoken()
            text = self.answer.take(name, data)
            if name == "message_start" and self._watcher is not None:
                self._watcher.begun(self.answer.usage)
            if text and self._on_text is not None:
                self._on_text(text)
            if self.answer.complete:
                STREAM.after()
                await _drain(arriving)

    def _reasoned(self) -> Reasoned:
        at_limit = room(self._request) == max_output(self._request.model)
        turn = replace(self.answer.turn(), at_limit=at_limit)
        return Reasoned(turn, self.usage, dumps(self.answer.usage), self.request_id)


async def _drain(arriving: AsyncIterator[object]) -> None:
    """Let the stream end. The turn is complete and paid for: nothing that happens now may cost it."""
    with suppress(Exception):
        async with asyncio.timeout(LAST_BYTES_SECONDS):
            async for _ in arriving:
                pass


def _parsed(data: str) -> object:
    try:
        return json.loads(data)
    except ValueError:
        return data


def _day(headers: Mapping[str, str]) -> date:
    """The provider's own day; the newest prices if it does not say."""
    try:
        return parsedate_to_datetime(headers["date"]).date()
    except (KeyError, ValueError):
        return date.max
