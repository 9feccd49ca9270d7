"""The usage object of an answer."""

from agentfleet.simulator.cache import Split
from agentfleet.simulator.turn import Turn
from agentfleet.simulator.wire import Json


def usage_json(split: Split, turn: Turn) -> Json:
    """Input by price and output, with the turn's own overrides on top."""
    usage: Json = {
        "input_tokens": split.fresh,
        "cache_creation_input_tokens": split.written,
        "cache_read_input_tokens": split.read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": split.written_5m,
            "ephemeral_1h_input_tokens": split.written_1h,
        },
        "output_tokens": turn.output_tokens,
        "service_tier": "standard",
        "inference_geo": "not_available",
    }
    if thinking := turn.thinking_tokens:
        usage["output_tokens_details"] = {"thinking_tokens": thinking}
    return {**usage, **turn.usage}
