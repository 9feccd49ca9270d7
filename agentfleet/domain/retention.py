"""How long an ended run is kept: a deployment's answer, of which a tenant may have its own.

The run itself, with its output and what it cost, may stay longer than its details: steps, attempts, messages and
events. Those that did not succeed may stay longer than those that did. Unless somebody says so, nothing ever goes.
"""

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from agentfleet.domain.durations import parse_duration
from agentfleet.domain.errors import InvalidInput

FOREVER: Final = math.inf
WORD: Final = "forever"
LEAST: Final = 86_400.0
"""Seconds: for a day clients may repeat a request key, and what a day has cost is counted from its attempts."""
TERMS: Final = ("runs", "failed_runs", "details")


@dataclass(frozen=True, slots=True)
class Keep:
    """Seconds after a run's end, ``FOREVER`` for no end. ``failed_runs``: of those that did not succeed; ``None``: as
    ``runs``.
    """

    runs: float = FOREVER
    failed_runs: float | None = None
    details: float = FOREVER

    def run(self, *, succeeded: bool) -> float:
        """How long the run stays."""
        return self.runs if succeeded or self.failed_runs is None else self.failed_runs

    def expires_at(self, finished_at: datetime | None, *, succeeded: bool) -> datetime | None:
        """When the run goes; ``None``: never, or it has not ended."""
        seconds = self.run(succeeded=succeeded)
        return None if finished_at is None or seconds == FOREVER else finished_at + timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Rule:
    """Runs of a tenant that ended ``age`` seconds ago or earlier are due."""

    tenant_id: str
    succeeded: bool
    stripped: bool
    """Whether their details are gone."""
    age: float


def to_forget(tenant_id: str, keep: Keep) -> list[Rule]:
    """Whose runs go altogether."""
    ages = [(succeeded, keep.run(succeeded=succeeded)) for succeeded in (True, False)]
    return [Rule(tenant_id, ok, gone, age) for ok, age in ages if age < FOREVER for gone in (False, True)]


def to_strip(tenant_id: str, keep: Keep) -> list[Rule]:
    """Whose details go before the run does."""
    early = [ok for ok in (True, False) if keep.details < keep.run(succeeded=ok)]
    return [Rule(tenant_id, ok, stripped=False, age=keep.details) for ok in early]


def read_keep(field: str, text: str) -> float:
    """Seconds, or ``FOREVER``; raises ``InvalidInput`` unless it is ``forever`` or a duration of a day or more."""
    if text.strip().lower() == WORD:
        return FOREVER
    seconds = parse_duration(text)
    if seconds is None:
        raise InvalidInput(field, f"{text!r} is neither {WORD!r} nor a duration such as 30d or 36h")
    if not LEAST <= seconds <= LEAST * 36_500:
        raise InvalidInput(field, f"{text!r} must be a day (1d) at least, and a hundred years at most")
    return seconds


def own_terms(own: str | None) -> dict[str, float]:
    """What a tenant has of its own, as ``to_json`` wrote it."""
    stored: dict[str, Any] = json.loads(own or "{}")
    return {term: FOREVER if stored[term] == WORD else float(stored[term]) for term in TERMS if term in stored}


def overruled(keep: Keep, own: str | None) -> Keep:
    """``keep`` with what a tenant has of its own."""
    return replace(keep, **own_terms(own))


def to_json(own: Mapping[str, float]) -> str | None:
    """To be stored; ``None`` when a tenant has nothing of its own."""
    terms = {term: WORD if own[term] == FOREVER else own[term] for term in TERMS if term in own}
    return json.dumps(terms) if terms else None


def in_words(seconds: float) -> str:
    """``30d``, ``36h`` or ``forever``."""
    if seconds == FOREVER:
        return WORD
    days, rest = divmod(seconds, LEAST)
    return f"{days:.0f}d" if not rest else f"{seconds / 3_600:g}h"


def taken_in_turn(tenants: Collection[str], after: str) -> list[str]:
    """All of them, beginning behind ``after``: so everybody comes first at some time."""
    ordered = sorted(tenants)
    start = next((at for at, name in enumerate(ordered) if name > after), 0)
    return ordered[start:] + ordered[:start]
