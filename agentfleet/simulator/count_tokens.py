"""POST /v1/messages/count_tokens: the input tokens a call would have. Free, and blind to the cache."""

from agentfleet.simulator.exchange import Exchange
from agentfleet.simulator.messages import check, read_body
from agentfleet.simulator.mishaps import happens_first


async def count(exchange: Exchange) -> None:
    """Answer one count."""
    exchange.authenticate()
    read_body(exchange)
    if await happens_first(exchange, exchange.pick_fault()):
        return
    _, prefix = check(exchange, counting=True)
    await exchange.send_json(200, {"input_tokens": prefix.tokens})
