"""The waste ledger: what was paid for and brought nothing, each dollar under one cause; and what was saved.

Nothing is written for it: everything follows from attempts, steps, runs and batch items (``sum_usage.sql`` holds the
rules below as SQL). Every call has one cause at most, the first of the list that fits, so causes never add up to more
than what was spent. What a call cost that nobody heard the end of is estimated, and such a loss is part of ``spent``.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from functools import reduce
from typing import Any

CENT = Decimal("0.00000001")
"""Dollars are kept in hundred-millionths."""


class Cause(StrEnum):
    """Why tokens brought nothing."""

    CRASHED = "crashed"
    """The worker died in the call. Estimated: the prompt of the call that was made instead, else what was reserved for
    it, else the run's last known prompt; nothing for the answer."""
    HALF_STREAM = "half_stream"
    """The answer broke off after it had begun. What the provider had said of it by then: the prompt, and little of the
    answer."""
    DROPPED = "dropped"
    """Its run was ended while the call was under way: nobody wanted the answer. Estimated, as for ``crashed``."""
    REPEATED = "repeated"
    """We cut the call off ourselves (a drain, a time limit) and paid for it again. Estimated, as for ``crashed``."""
    ENDED_RUN = "ended_run"
    """The call was answered, and its run was cancelled, expired or failed all the same."""
    CACHE_MISS = "cache_miss"
    """The run's last call to this model left its prompt in the provider's cache, where it still had to be, and this one
    did not read it: what it paid above the price of reading."""
    SPILLED_BATCH = "spilled_batch"
    """A batch answered when its step had already called directly. Estimated: by the price of that call, at half."""


ESTIMATED = frozenset({Cause.CRASHED, Cause.DROPPED, Cause.REPEATED, Cause.SPILLED_BATCH})
"""Causes of which the bill is known to the provider only."""


class Saving(StrEnum):
    """What cost less than it might have."""

    PROMPT_CACHE = "prompt_cache"
    """Prompts that were read from the provider's cache, less what writing them cost extra."""
    ANSWER_CACHE = "answer_cache"
    """Calls that were not made, as their answer was known."""
    BATCH = "batch"
    """Calls that went through Message Batches, at half the price."""
    ROUTING = "routing"
    """Calls to another model than the agent's own, at what that would have cost."""


class By(StrEnum):
    """What usage is added up by."""

    TENANT = "tenant"
    AGENT = "agent"
    BUNDLE = "bundle"
    MODEL = "model"
    DAY = "day"
    """The day (UTC) on which the run was accepted."""


@dataclass(frozen=True, slots=True)
class Calls:
    """So many calls to ``model``, the last on ``day``: what they cost together and what the provider said of them.

    ``hour``: cache write tokens that were written for an hour.
    """

    model: str
    day: date
    count: int
    cost_usd: Decimal
    input: int
    output: int
    read: int
    write: int
    hour: int


@dataclass(frozen=True, slots=True)
class Spent:
    """Calls of one key by agents whose own model is ``main_model``.

    ``answered_usd``: what known answers saved; ``batch_usd``: the part of the cost that went through batches.
    """

    key: str
    main_model: str
    calls: Calls
    answered_usd: Decimal
    batch_usd: Decimal


@dataclass(frozen=True, slots=True)
class Loss:
    """``count`` calls of one key lost ``tokens`` by ``cause``.

    ``calls`` are those themselves, or, for estimates, those that were made instead of some of them; of the others it is
    only ``guessed`` how many tokens their prompts had. ``missed_input`` and ``missed_write`` tokens of ``calls`` should
    have been read from the cache.
    """

    key: str
    cause: Cause
    calls: Calls
    count: int
    tokens: int
    missed_input: int = 0
    missed_write: int = 0
    guessed: int = 0


@dataclass(frozen=True, slots=True)
class Lost:
    """A sum over losses of one cause."""

    calls: int = 0
    tokens: int = 0
    cost_usd: Decimal = Decimal(0)

    def __add__(self, other: "Lost") -> "Lost":
        return Lost(self.calls + other.calls, self.tokens + other.tokens, self.cost_usd + other.cost_usd)


@dataclass(frozen=True, slots=True)
class Line:
    """What one key used. ``cost_usd`` is what is on record, ``estimated_usd`` what came on top that nobody has told."""

    key: str
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    saved: Mapping[Saving, Decimal] = field(default_factory=dict[Saving, Decimal])
    wasted: Mapping[Cause, Lost] = field(default_factory=dict[Cause, Lost])

    @property
    def estimated_usd(self) -> Decimal:
        """What was spent beside ``cost_usd``."""
        return sum((lost.cost_usd for cause, lost in self.wasted.items() if cause in ESTIMATED), Decimal(0))

    @property
    def wasted_usd(self) -> Decimal:
        """All causes together: never more than ``cost_usd`` and ``estimated_usd``."""
        return sum((lost.cost_usd for lost in self.wasted.values()), Decimal(0))

    def __add__(self, other: "Line") -> "Line":
        saved = {one: self.saved.get(one, Decimal(0)) + other.saved.get(one, Decimal(0)) for one in Saving}
        wasted = {one: self.wasted.get(one, Lost()) + other.wasted.get(one, Lost()) for one in Cause}
        return Line(
            self.key,
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.cost_usd + other.cost_usd,
            {one: usd for one, usd in saved.items() if usd},
            {one: lost for one, lost in wasted.items() if lost.calls},
        )


Price = Callable[[Mapping[str, Any], str, date], Decimal]
"""US dollars for a call's usage, in the provider's words, of a model on a day."""


def lines(spent: Iterable[Spent], lost: Iterable[Loss], price: Price) -> list[Line]:
    """One line per key, the dearest first."""
    found: dict[str, Line] = {}
    for line in [*(_spent(one, price) for one in spent), *(_lost(one, price) for one in lost)]:
        found[line.key] = found[line.key] + line if line.key in found else Line(line.key) + line
    return sorted(found.values(), key=lambda line: (-(line.cost_usd + line.estimated_usd), line.key))


def total(every: Iterable[Line]) -> Line:
    """All lines together."""
    return reduce(lambda one, other: one + other, every, Line("total"))


def _spent(one: Spent, price: Price) -> Line:
    calls = one.calls
    saved = {
        Saving.PROMPT_CACHE: _without_cache(calls, price) - calls.cost_usd if calls.read or calls.write else Decimal(0),
        Saving.ANSWER_CACHE: one.answered_usd,
        Saving.BATCH: one.batch_usd,
        Saving.ROUTING: _routed(one, price),
    }
    tokens = (calls.input, calls.output, calls.read, calls.write)
    return Line(one.key, calls.count, *tokens, calls.cost_usd, saved)


def _routed(one: Spent, price: Price) -> Decimal:
    """At list prices, so that batches and regions change nothing."""
    if one.calls.model == one.main_model:
        return Decimal(0)
    theirs, own = listed(one.calls, price), listed(replace(one.calls, model=one.main_model), price)
    return own - theirs if own and theirs else Decimal(0)


def _without_cache(calls: Calls, price: Price) -> Decimal:
    fresh = replace(calls, input=calls.input + calls.read + calls.write, read=0, write=0, hour=0)
    return paid(fresh, calls, price)


def _lost(one: Loss, price: Price) -> Line:
    return Line(one.key, wasted={one.cause: Lost(one.count, one.tokens, _cost(one, price))})


def _cost(one: Loss, price: Price) -> Decimal:
    calls = one.calls
    match one.cause:
        case Cause.HALF_STREAM | Cause.ENDED_RUN:
            return calls.cost_usd
        case Cause.CACHE_MISS:
            hours = min(calls.hour, one.missed_write)
            read = replace(
                calls,
                input=calls.input - one.missed_input,
                write=calls.write - one.missed_write,
                hour=calls.hour - hours,
                read=calls.read + one.missed_input + one.missed_write,
            )
            return max(calls.cost_usd - paid(read, calls, price), Decimal(0))
        case Cause.SPILLED_BATCH:
            return (listed(calls, price) / 2).quantize(CENT)
        case Cause.CRASHED | Cause.DROPPED | Cause.REPEATED:
            known = paid(replace(calls, output=0), calls, price)
            others = one.count - calls.count
            guessed = Calls(calls.model, calls.day, others, Decimal(0), one.guessed, 0, 0, 0, 0)
            return known + listed(guessed, price)


def paid(would: Calls, did: Calls, price: Price) -> Decimal:
    """What calls with the tokens of ``would`` would have cost, by what those of ``did`` cost: at the same discounts."""
    usual = listed(did, price)
    return (did.cost_usd * listed(would, price) / usual).quantize(CENT) if usual else did.cost_usd


def listed(calls: Calls, price: Price) -> Decimal:
    """What calls cost at list prices: so often the usual one, as prices depend on the length of the prompt."""
    if not calls.count:
        return Decimal(0)
    usage = {
        "input_tokens": calls.input / calls.count,
        "output_tokens": calls.output / calls.count,
        "cache_read_input_tokens": calls.read / calls.count,
        "cache_creation_input_tokens": calls.write / calls.count,
        "cache_creation": {"ephemeral_1h_input_tokens": calls.hour / calls.count},
    }
    return (price(usage, calls.model, calls.day) * calls.count).quantize(CENT)
