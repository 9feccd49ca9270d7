"""What may be spent and what has been spent: arithmetic, and the two JSON forms of a budget.

A run spends from its own ceilings, from those of the runs that it is a child of, and from its tenant's day. Before a
step calls anything, the worst case of that call is reserved everywhere; what was really used is written when it is
over. So no ceiling is ever broken: a step that does not fit waits until there is room.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from decimal import Decimal
from typing import Any

LEAST_ROOM = 1_024
"""Tokens for an answer below which a call is not made: what is left of a budget would buy half a sentence."""
ALERT_AT = Decimal("0.8")
"""The share of a ceiling at which somebody should hear of it."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one call, or a whole run, consumed. Tokens as the provider bills them; ``cost_usd`` in US dollars."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: Decimal = Decimal(0)

    @property
    def context_tokens(self) -> int:
        """The whole prompt and its answer: what the next prompt of the conversation begins with."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens + self.output_tokens

    @property
    def work_tokens(self) -> int:
        """What counts as tokens of a budget: all but what was read from the cache."""
        return self.input_tokens + self.cache_write_tokens + self.output_tokens

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.cost_usd + other.cost_usd,
        )


@dataclass(frozen=True, slots=True)
class Budget:
    """The ceilings of one run and of all its children together. ``None`` means no ceiling.

    ``max_steps`` counts reason and tool steps, ``max_tool_calls`` only the latter, ``max_cost_usd`` US dollars,
    ``max_tokens`` input, cache write and output tokens, ``deadline`` wall time from the moment the run was accepted.
    """

    max_steps: int | None = 100
    max_tool_calls: int | None = None
    max_cost_usd: Decimal | float | None = None
    deadline: timedelta | None = None
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        for name in CEILINGS:
            value = getattr(self, name)
            if value is not None and (math.isnan(value) or value <= 0):
                raise ValueError(f"Budget.{name} must be greater than zero, not {value!r}")
        if self.deadline is not None and self.deadline <= timedelta(0):
            raise ValueError(f"Budget.deadline must be greater than zero, not {self.deadline!r}")

    def left(self, used: "Amount") -> "Left":
        """What it still allows."""
        cost = None if self.max_cost_usd is None else Decimal(str(self.max_cost_usd))
        return Left(
            _rest(self.max_steps, used.steps),
            _rest(self.max_tool_calls, used.tool_calls),
            _rest(self.max_tokens, used.tokens),
            _rest(cost, used.cost_usd),
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come."""

    steps: int = 0
    tool_calls: int = 0
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class Amount:
    """So much of every dimension: used, held, or needed by one step."""

    steps: int = 0
    tool_calls: int = 0
    tokens: int = 0
    cost_usd: Decimal = Decimal(0)

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(
            self.steps + other.steps,
            self.tool_calls + other.tool_calls,
            self.tokens + other.tokens,
            self.cost_usd + other.cost_usd,
        )


@dataclass(frozen=True, slots=True)
class Left:
    """What a budget still allows of every dimension; ``None``: it has no ceiling there."""

    steps: int | None = None
    tool_calls: int | None = None
    tokens: int | None = None
    cost_usd: Decimal | None = None

    def lacks(self, need: Amount) -> str | None:
        """The first ceiling that ``need`` would break. What is not needed breaks none."""
        for name, dimension in zip(CEILINGS, DIMENSIONS, strict=True):
            rest = getattr(self, dimension)
            if rest is not None and getattr(need, dimension) > rest:
                return name
        return None

    def without(self, need: Amount) -> "Left":
        """After ``need``."""
        return Left(*(_rest(getattr(self, one), getattr(need, one)) for one in DIMENSIONS))

    def tightest(self, other: "Left") -> "Left":
        """The smaller of both, dimension by dimension."""
        return Left(*(_smaller(getattr(self, one), getattr(other, one)) for one in DIMENSIONS))


@dataclass(frozen=True, slots=True)
class CallPrice:
    """The most that a model call may cost, in US dollars: its prompt, and each token of its answer."""

    prompt: Decimal
    per_output_token: Decimal


DIMENSIONS = tuple(one.name for one in fields(Amount))
CEILINGS = tuple(f"max_{one}" for one in DIMENSIONS)
"""The names of a budget's ceilings."""


def model_call(left: Left, *, asked: int, prompt_tokens: int, price: CallPrice | None) -> tuple[int, Amount]:
    """The room for the answer in tokens, and the worst case of the call.

    The room is what was ``asked`` for, or what ``left`` still pays for, but never less than ``LEAST_ROOM``: then the
    worst case is more than is left. Without a ``price`` the call counts as free.
    """
    room = asked
    if left.tokens is not None:
        room = min(room, left.tokens - prompt_tokens)
    if left.cost_usd is not None and price is not None and price.per_output_token:
        room = min(room, int((left.cost_usd - price.prompt) / price.per_output_token))
    room = max(room, min(asked, LEAST_ROOM))
    cost = Decimal(0) if price is None else price.prompt + room * price.per_output_token
    return room, Amount(1, 0, prompt_tokens + room, cost)


def alerts(budget: Budget, before: Amount, after: Amount) -> dict[str, str]:
    """The ceilings of which ``after`` has passed four fifths and ``before`` had not, with the ceiling."""
    found: dict[str, str] = {}
    for name, dimension in zip(CEILINGS, DIMENSIONS, strict=True):
        most = getattr(budget, name)
        mark = None if most is None else Decimal(str(most)) * ALERT_AT
        if mark is not None and getattr(before, dimension) < mark <= getattr(after, dimension):
            found[name] = str(most)
    return found


def budget_to_json(budget: Budget) -> dict[str, Any]:
    """Every ceiling by name; ``None`` is no ceiling. Dollars are a decimal text, the deadline is in seconds."""
    return {
        "max_steps": budget.max_steps,
        "max_tool_calls": budget.max_tool_calls,
        "max_tokens": budget.max_tokens,
        "max_cost_usd": None if budget.max_cost_usd is None else str(budget.max_cost_usd),
        "deadline": None if budget.deadline is None else budget.deadline.total_seconds(),
    }


def budget_from_json(values: Mapping[str, Any]) -> Budget:
    """The budget that ``budget_to_json`` wrote, this version's or an earlier one's."""
    cost, deadline = values.get("max_cost_usd"), values.get("deadline")
    return Budget(
        max_steps=values.get("max_steps"),
        max_tool_calls=values.get("max_tool_calls"),
        max_tokens=values.get("max_tokens"),
        max_cost_usd=None if cost is None else Decimal(cost),
        deadline=None if deadline is None else timedelta(seconds=deadline),
    )


def _rest(most: Any, used: Any) -> Any:
    return None if most is None else max(most - used, 0)


def _smaller(one: Any, two: Any) -> Any:
    return two if one is None else one if two is None else min(one, two)
