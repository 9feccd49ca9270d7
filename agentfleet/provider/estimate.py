"""What a call will probably take of its bucket, learned from the calls before it.

Input: the prompt begins with what the run's last call read and wrote, whose size is known; what came on top is counted
in characters, at the model's own rate. What the provider still has in its cache does not count. Output: what nine of
ten answers of this agent stayed below; ``max_tokens`` plays no part in the limits
(https://platform.claude.com/docs/en/api/rate-limits).
"""

from collections import deque
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from agentfleet.domain.admission import Need
from agentfleet.domain.budget import Usage
from agentfleet.domain.model import Message
from agentfleet.engine.ports import ReasonRequest
from agentfleet.provider.body import dumps

CHARS_PER_TOKEN = 3.0
"""Until a model's own rate is known; recent tokenizers make more tokens than four characters each."""
LEARNING = 0.1
"""Weight of the newest call in a model's rate."""
MARGIN = 1.03
QUANTILE = 0.9
REMEMBERED = 200
"""Answers per agent and model."""
UNKNOWN_OUTPUT = 500
CACHED_SECONDS = 280.0
"""A little less than the five minutes for which the provider keeps a prompt."""
CACHEABLE_TOKENS = 1_024


class Estimates:
    """Of one process: what it has seen itself."""

    def __init__(self) -> None:
        self._rates: dict[str, float] = {}
        self._outputs: dict[tuple[str, str], deque[int]] = {}
        self._heads: dict[str, int] = {}

    def need(self, request: ReasonRequest, bucket: str, *, warm: bool, cache_reads_count: bool) -> Need:
        """What ``request`` will probably take of ``bucket``; ``warm``: what all runs of its bundle share is cached."""
        rate = self._rates.get(request.model, CHARS_PER_TOKEN)
        if request.prompt_tokens is None:
            fresh = (_characters(request.conversation) if warm else self._characters(request)) / rate
        else:
            added = _characters(_since_last_answer(request.conversation)) / rate
            cached = request.bundle.spec["cache"] and request.prompt_tokens >= CACHEABLE_TOKENS
            recent = request.prompt_age is not None and request.prompt_age < CACHED_SECONDS
            free = cached and recent and not cache_reads_count
            fresh = added if free else request.prompt_tokens + added
        return Need(bucket, ceil(fresh * MARGIN) + 1, min(self._output(request), request.max_tokens))

    def learn(self, request: ReasonRequest, usage: Usage) -> None:
        """From a call that was answered."""
        prompt = usage.context_tokens - usage.output_tokens
        if prompt > 0:
            seen = self._characters(request) / prompt
            self._rates[request.model] = (1 - LEARNING) * self._rates.get(request.model, seen) + LEARNING * seen
        outputs = self._outputs.setdefault((request.bundle.agent, request.model), deque(maxlen=REMEMBERED))
        outputs.append(usage.output_tokens)

    def _output(self, request: ReasonRequest) -> int:
        outputs = self._outputs.get((request.bundle.agent, request.model))
        return quantile(outputs) if outputs else UNKNOWN_OUTPUT

    def _characters(self, request: ReasonRequest) -> int:
        head = self._heads.get(request.bundle.id)
        if head is None:
            head = self._heads[request.bundle.id] = _head_characters(request.bundle.spec)
        return head + _characters(request.conversation)


def quantile(values: Sequence[int] | deque[int]) -> int:
    """The value that nine of ten do not exceed."""
    return sorted(values)[min(int(len(values) * QUANTILE), len(values) - 1)]


def _head_characters(spec: Mapping[str, Any]) -> int:
    return len(spec["instructions"]) + len(dumps(spec["tools"])) + len(dumps(spec["output_schema"] or ""))


def _characters(messages: Sequence[Message]) -> int:
    return sum(len(message.content) for message in messages)


def _since_last_answer(conversation: Sequence[Message]) -> Sequence[Message]:
    """The messages that the model has not seen yet."""
    for place in range(len(conversation) - 1, -1, -1):
        if conversation[place].role == "assistant":
            return conversation[place + 1 :]
    return conversation
