"""Answers of the model that are used again. Implements ``engine.ports.Reasoner`` around another one.

Only for agents that ask for it. The key is everything that decides the answer: bundle, model, account (thinking blocks
are bound to it), the conversation to the byte, and the tenant unless the agent says that it does not matter.
"""

from collections.abc import Callable
from decimal import Decimal

import orjson

from agentfleet.caching.reuse import Reuse
from agentfleet.caching.shelf import Shelf, Wanted
from agentfleet.domain.keys import fingerprint
from agentfleet.domain.model import Bundle
from agentfleet.domain.plan import Invalid, Rules, ToolUse, Turn
from agentfleet.engine.ports import Reasoned, Reasoner, ReasonRequest

FORMAT = b"1"
"""Of what is kept: another one is another key."""


class CachingReasoner:
    """Asks ``inner`` for what is not on the ``shelf``. ``rules`` tell an output that is valid from one that is not."""

    def __init__(self, inner: Reasoner, shelf: Shelf, rules: Callable[[Bundle], Rules]) -> None:
        self._inner, self._shelf, self._rules = inner, shelf, rules

    async def reason(self, request: ReasonRequest, on_text: Callable[[str], None] | None) -> Reasoned:
        """One complete turn; raises the ``StepError`` that says why there is none."""
        reuse = request.bundle.spec.get("cache_answers")
        if reuse is None:
            return await self._inner.reason(request, on_text)
        async with self._shelf.look(wanted(request, Reuse.from_json(reuse))) as place:
            if place.value is not None:
                reasoned = _unpacked(place.value)
                if on_text is not None and reasoned.turn.text:
                    on_text(reasoned.turn.text)
                return reasoned
            reasoned = await self._inner.reason(request, on_text)
            if self._is_good(request.bundle, reasoned.turn):
                await place.keep(_packed(reasoned))
            return reasoned

    async def close(self) -> None:
        """Close ``inner``."""
        await self._inner.close()

    def _is_good(self, bundle: Bundle, turn: Turn) -> bool:
        """Whether another run could go on with it: complete, and right if it is the run's output."""
        if turn.stop_reason == "tool_use":
            return bool(turn.tool_uses)
        return turn.stop_reason == "end_turn" and not isinstance(self._rules(bundle).check_output(turn.text), Invalid)


def wanted(request: ReasonRequest, reuse: Reuse) -> Wanted:
    """The answer to this request. The room for it is no part of the key: what is kept was complete in its own."""
    bundle = request.bundle
    said = (part for m in request.conversation for part in (f"{m.turn}:{m.part}:{m.role}".encode(), m.content.encode()))
    owner = request.tenant_id if reuse.scope == "tenant" else ""
    head = (reuse.scope, owner, bundle.id, request.model, request.account or "")
    digest = fingerprint(FORMAT, *(part.encode() for part in head), *said).hex()
    labels = (f"bundle:{bundle.id}", f"agent:{bundle.agent}", f"tenant:{owner}")
    return Wanted("answer", bundle.agent, digest, reuse, labels)


def _packed(reasoned: Reasoned) -> bytes:
    turn = reasoned.turn
    return orjson.dumps(
        {
            "stop_reason": turn.stop_reason,
            "content": turn.content,
            "text": turn.text,
            "tool_uses": [(use.call_id, use.name, use.arguments) for use in turn.tool_uses],
            "account": reasoned.account,
            "request_id": reasoned.request_id,
            "cost_usd": str(reasoned.usage.cost_usd),
        }
    )


def _unpacked(value: bytes) -> Reasoned:
    """It has cost nothing; ``usage_raw`` says what it was made of and what it saved."""
    kept = orjson.loads(value)
    turn = Turn(kept["stop_reason"], kept["content"], kept["text"], tuple(ToolUse(*use) for use in kept["tool_uses"]))
    origin = {"cache": "hit", "saved_usd": str(Decimal(kept["cost_usd"])), "request_id": kept["request_id"]}
    return Reasoned(turn, usage_raw=orjson.dumps({"agentfleet": origin}).decode(), account=kept["account"], cached=True)
