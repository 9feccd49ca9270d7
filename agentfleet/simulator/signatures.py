"""Signatures of thinking blocks: each binds its block to everything that was sent before it.

A client that edits, trims or reorders history, or changes `system` or `tools` in the middle of a conversation, gets the
400 the service gives (https://platform.claude.com/docs/en/build-with-claude/preserved-thinking). The comparison is of
bytes, so it also catches a store that reorders the keys of a tool's input.
"""

import base64
import hashlib

from agentfleet.simulator.errors import ApiError
from agentfleet.simulator.prefix import Prefix, as_blocks
from agentfleet.simulator.wire import Json


def sign(seed: str, before: bytes, thinking: str) -> str:
    """The signature of a thinking text that follows the prefix `before`. Stable over restarts with the same seed."""
    key = hashlib.blake2b(seed.encode(), digest_size=32).digest()
    mac = hashlib.blake2b(before + b"\0" + thinking.encode(), key=key, digest_size=33)
    return "sim" + base64.b64encode(mac.digest()).decode()


def check_signatures(seed: str, body: Json, prefix: Prefix) -> None:
    """Raise a 400 unless every thinking block follows exactly the history it was made in."""
    for index, message in enumerate(body["messages"]):
        if message["role"] != "assistant" or isinstance(message["content"], str):
            continue
        for position, block in enumerate(as_blocks(message["content"])):
            if block["type"] != "thinking":
                continue
            # What came before the turn; in a paused turn merged with its continuation, what came before the block.
            made_in = (prefix.digest_before(index), prefix.digest_before(index, position))
            if all(block.get("signature") != sign(seed, before, block.get("thinking", "")) for before in made_in):
                raise ApiError.invalid(
                    f"messages.{index}.content.{position}: Invalid `signature` in `thinking` block. "
                    "The block is bound to a different conversation."
                )
