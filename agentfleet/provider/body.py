"""The request body, spliced from stored text.

Nothing that was said is parsed and written again on its way back: the provider compares what it gets with what it
signed, and caches by prefix, so what it gets must be what was stored, byte for byte
(https://platform.claude.com/docs/en/build-with-claude/extended-thinking, "Preserving thinking blocks").

Only cache marks are added, which are no part of what is compared. There are three: after tools and instructions, which
all runs of a bundle share, and at the end of the last two user turns. The last one is where the next call looks, the
one before is where the last call has left its mark: a mark looks back at 20 blocks at most, and the results of many
parallel tools are more (https://platform.claude.com/docs/en/build-with-claude/prompt-caching).
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from agentfleet.domain.model import Message
from agentfleet.engine.ports import ReasonRequest
from agentfleet.provider.models import max_output

FIVE_MINUTES, HOUR = 300, 3_600
"""Seconds that the provider may keep a prefix after its last use."""
LONG_GAP = 240.0
"""Seconds between two calls of a run from which on five minutes are not enough: they began with the first one."""
_SAYS_NOTHING = frozenset({"", '{"type":"text","text":""}'})
"""Blocks of a turn that must not be sent back: the provider refuses empty content."""

Json = dict[str, Any]


def request_body(request: ReasonRequest, envelope: Mapping[str, Any] | None = None) -> bytes:
    """The UTF-8 JSON of one streaming Messages API call; ``envelope`` has the fields that its platform decides."""
    ttl = cache_ttl(request)
    mark = None if ttl is None else {"type": "ephemeral", **({"ttl": "1h"} if ttl == HOUR else {})}
    outside = {"model": request.model, "stream": True} if envelope is None else envelope
    head = {**outside, "max_tokens": room(request), **_head(request, mark)}
    messages = ",".join(_messages(request.conversation, mark))
    return f'{dumps(head)[:-1]},"messages":[{messages}]}}'.encode()


def shared_prefix(request: ReasonRequest) -> str:
    """What every call of this bundle begins with: the same text for the same cached prefix of one model."""
    return dumps([request.model, _head(request, None)])


def cache_ttl(request: ReasonRequest) -> int | None:
    """How many seconds the provider should keep the prefix; ``None`` when the agent does not want that.

    An hour costs more to write. It pays for a run that has waited longer than five minutes before, and less than an
    hour, as it will do so again; and in batches, which take their time.
    """
    if not request.bundle.spec["cache"]:
        return None
    waits = request.lane == "batch" or LONG_GAP < (request.prompt_age or 0.0) < HOUR
    return HOUR if waits else FIVE_MINUTES


def room(request: ReasonRequest) -> int:
    """Tokens that the answer may have: what is wanted, if the model can give that much. More would be refused."""
    return min(request.max_tokens, max_output(request.model) or request.max_tokens)


def dumps(value: Any) -> str:
    """Compact JSON text that keeps every character as it is."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _head(request: ReasonRequest, mark: Json | None) -> Json:
    """What the bundle pins. The mark is on its last block, in the provider's order: tools, then system."""
    spec = request.bundle.spec
    head: Json = {}
    if spec["instructions"]:
        system = {"type": "text", "text": spec["instructions"]}
        head["system"] = spec["instructions"] if mark is None else [_marked(system, mark)]
    if spec["tools"]:
        *others, last = spec["tools"]
        head["tools"] = spec["tools"] if mark is None or "system" in head else [*others, _marked(last, mark)]
    if spec["thinking"]:
        head["thinking"] = {"type": spec["thinking"]}
    output: Json = {}
    if spec["effort"]:
        output["effort"] = spec["effort"]
    if spec["output_schema"]:
        output["format"] = {"type": "json_schema", "schema": spec["output_schema"]}
    if output:
        head["output_config"] = output
    return head


def _marked(block: Mapping[str, Any], mark: Json) -> Json:
    return {**block, "cache_control": mark}


def _messages(conversation: Iterable[Message], mark: Json | None) -> Iterator[str]:
    """One JSON object per turn: its parts' content blocks, in order."""
    turns = list(_turns(conversation))
    if mark is not None:
        for blocks in [blocks for role, blocks in turns if role == "user"][-2:]:
            blocks[-1] = f'{blocks[-1][:-1]},"cache_control":{dumps(mark)}}}'  # a part ends with its last block's brace
    for role, blocks in turns:
        yield f'{{"role":"{role}","content":[{",".join(blocks)}]}}'


def _turns(conversation: Iterable[Message]) -> Iterator[tuple[str, list[str]]]:
    """Each turn's role, and its parts' blocks as they are stored, without the brackets around them."""
    for (_, role), parts in groupby(conversation, key=lambda message: (message.turn, message.role)):
        blocks = [text for part in parts if (text := part.content.strip()[1:-1].strip()) not in _SAYS_NOTHING]
        if blocks:
            yield role, blocks
