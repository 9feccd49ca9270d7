"""An answer that broke off has cost its prompt: the error says how much, through the real SDK."""

from datetime import date

import pytest

from agentfleet.domain.budget import Usage
from agentfleet.domain.errors import ProviderError, ProviderOverloaded, ProviderUnavailable
from agentfleet.provider.prices import cost
from tests.integration.provider.talk import MODEL, START, ask, block, event, stream

HELLO = block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Hel"})
OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
DATED = "date: Sat, 21 Nov 2026 17:00:00 GMT\r\n"


async def fail(connect, url) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await connect(url).reason(ask(), None)
    return caught.value


@pytest.mark.parametrize(("more", "expected"), [("", ProviderUnavailable), (OVERLOADED, ProviderOverloaded)])
async def test_what_had_begun_has_cost_its_prompt(connect, wire, more, expected):
    error = await fail(connect, await wire(stream(START, HELLO, more, headers=DATED)))
    assert type(error) is expected
    raw = {"input_tokens": 7, "output_tokens": 1}
    assert error.detail["usage"] == raw
    assert error.usage == Usage(7, 1, cost_usd=cost(raw, MODEL, date(2026, 11, 21)))


async def test_what_had_not_begun_has_cost_nothing(connect, wire):
    error = await fail(connect, await wire(stream(headers=DATED)))
    assert error.usage is None
    assert "usage" not in error.detail


async def test_a_beginning_that_cannot_be_read_costs_what_nobody_knows(connect, wire):
    for usage in ({"input_tokens": "seven", "output_tokens": 1}, {"input_tokens": 7}):
        start = event("message_start", message={"id": "m", "model": MODEL, "usage": usage})
        assert (await fail(connect, await wire(stream(start, HELLO)))).usage is None
