"""Which model a turn is for: routes by rule, as data in the bundle, and what stands in for a model that cannot answer.

A change of model in mid-conversation costs: each model has a cache of its own, so the whole prompt is read anew, and
drops the thinking of most others
(https://platform.claude.com/docs/en/build-with-claude/preserved-thinking#switching-models). A route says that this is
worth it. A fallback never does it unasked: it stands in where nothing has been thought yet.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentfleet.domain.errors import ProviderBusy, ProviderError, ProviderModelUnknown, ProviderOverloaded
from agentfleet.domain.model import Message

_THINKING = frozenset({"thinking", "redacted_thinking"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Turns that are for ``model``: those for which every condition holds that is given.

    ``turns`` is the first and the last turn of the model, from 1 (``None``: to the end). ``after_tool``: all results
    that are new to the model are of these tools. ``prompt_above`` and ``prompt_below`` are tokens of the conversation
    so far, which are known from the second turn on. Raises ``ValueError`` for what could never hold.
    """

    model: str
    turns: tuple[int, int | None] | None = None
    after_tool: str | Sequence[str] | None = None
    prompt_above: int | None = None
    prompt_below: int | None = None

    def __post_init__(self) -> None:
        tools = (self.after_tool,) if isinstance(self.after_tool, str) else self.after_tool
        object.__setattr__(self, "after_tool", None if tools is None else tuple(tools))
        for problem, wrong in self._problems().items():
            if wrong:
                raise ValueError(f"a route to {self.model!r} {problem}")

    @property
    def tools(self) -> tuple[str, ...]:
        """The tools of ``after_tool``."""
        return tuple(self.after_tool or ())

    def holds(self, turn: int, tools: Collection[str], prompt_tokens: int | None) -> bool:
        """Whether a turn is for it: its number, the tools that have just answered, the tokens of the prompt so far."""
        first, last = self.turns or (1, None)
        if not first <= turn <= (turn if last is None else last):
            return False
        if self.after_tool is not None and not (tools and set(tools) <= set(self.tools)):
            return False
        if self.prompt_above is None and self.prompt_below is None:
            return True
        below = self.prompt_below is None or (prompt_tokens or 0) < self.prompt_below
        return prompt_tokens is not None and prompt_tokens > (self.prompt_above or -1) and below

    def _problems(self) -> Mapping[str, bool]:
        conditions = (self.turns, self.after_tool, self.prompt_above, self.prompt_below)
        first, last = self.turns or (1, None)
        later = self.after_tool is not None or self.prompt_above is not None or self.prompt_below is not None
        return {
            "needs a model": not self.model,
            "needs a condition: without one it is the agent's model": all(each is None for each in conditions),
            "counts turns from 1, the first before the last": first < 1 or (last is not None and last < first),
            "names no tool in after_tool": self.after_tool is not None and not self.tools,
            "needs sizes above zero, prompt_above below prompt_below": any(
                size is not None and size < 1 for size in (self.prompt_above, self.prompt_below)
            )
            or (self.prompt_above or 0) >= (self.prompt_below or 1 << 60),
            "cannot hold: the first turn follows no tool and has no known size": later and last == 1,
        }


def pick(
    main: str,
    routes: Sequence[Route],
    turn: int,
    *,
    tools: Collection[str] = (),
    prompt_tokens: int | None = None,
) -> str:
    """The model for one turn: of the first route that holds, else ``main``. ``turn`` is that of the conversation."""
    number = (turn + 1) // 2  # the user's turns lie between the model's
    return next((route.model for route in routes if route.holds(number, tools, prompt_tokens)), main)


def instead(model: str, fallbacks: Sequence[str], avoid: Collection[str]) -> str:
    """``model``, or the first fallback that is not to be avoided, if it is; ``model`` again where there is none."""
    if model not in avoid:
        return model
    return next((each for each in fallbacks if each not in avoid), model)


def gives_way(error: ProviderError) -> bool:
    """Whether another model may answer where this one fails: it is overloaded, or there is no such model."""
    if isinstance(error, ProviderBusy):
        return bool(error.detail.get("overloaded"))  # its breaker is open; a full bucket is only full
    return isinstance(error, ProviderOverloaded | ProviderModelUnknown)


def is_bound(conversation: Sequence[Message]) -> bool:
    """Whether the conversation holds thinking, which other models drop and other accounts may not read."""
    return any(
        message.role == "assistant" and "thinking" in message.content and _thinks(message.content)
        for message in conversation
    )


def route_to_json(route: Route) -> dict[str, Any]:
    """Every condition by name; ``None`` where there is none."""
    return {
        "model": route.model,
        "turns": None if route.turns is None else list(route.turns),
        "after_tool": None if route.after_tool is None else list(route.tools),
        "prompt_above": route.prompt_above,
        "prompt_below": route.prompt_below,
    }


def route_from_json(values: Mapping[str, Any]) -> Route:
    """The route that ``route_to_json`` wrote."""
    turns = values["turns"]
    return Route(
        model=values["model"],
        turns=None if turns is None else (turns[0], turns[1]),
        after_tool=values["after_tool"],
        prompt_above=values["prompt_above"],
        prompt_below=values["prompt_below"],
    )


def _thinks(content: str) -> bool:
    blocks: list[dict[str, Any]] = json.loads(content)
    return any(block.get("type") in _THINKING for block in blocks)
