"""POST /v1/messages/count_tokens: the input tokens a call would have. Free, blind to the cache, limited on its own."""

from agentfleet.simulator.buckets import TOKEN_COUNT
from agentfleet.simulator.exchange import Exchange
from agentfleet.simulator.messages import read_body
from agentfleet.simulator.mishaps import happens_first
from agentfleet.simulator.speech import check


async def count(exchange: Exchange) -> None:
    """Answer one count."""
    exchange.authenticate()
    read_body(exchange, TOKEN_COUNT)
    if await happens_first(exchange, exchange.pick_fault()):
        return
    _, prefix = check(exchange.body, counting=True)
    exchange.simulator.buckets.admit((exchange.organization, TOKEN_COUNT), 0, exchange.entry.at)
    await exchange.send_json(200, {"input_tokens": prefix.tokens})
