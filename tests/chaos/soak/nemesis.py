"""The nemesis: deals the faults of the table, several at a time, never two on the same target. The seed decides.

Driven by ``tick``, in the thread that started the servers: the kernel ends a server with that thread.
"""

import time
from dataclasses import dataclass
from random import Random

from tests.chaos.soak.faults import FAULTS, Fault
from tests.chaos.soak.field import Field, Hit
from tests.chaos.soak.history import History, Type

PAUSE = (0.2, 2.0)
"""Seconds between two faults."""


@dataclass(slots=True)
class Blow:
    """One fault under way."""

    number: int
    fault: Fault
    hit: Hit
    ends_at: float


class Nemesis:
    """Breaks things for as long as it is asked to."""

    def __init__(self, field: Field, history: History, rng: Random, *, at_once: int) -> None:
        self._field, self._history, self._rng, self._at_once = field, history, rng, at_once
        self._deck: list[Fault] = []
        self._next_at = 0.0
        self.blows: list[Blow] = []
        self.dealt = 0

    @property
    def under_way(self) -> list[str]:
        """What is broken at the moment."""
        return [f"{blow.fault.name} ({blow.hit.target})" for blow in self.blows]

    def tick(self) -> None:
        """Heal what is due, and break something else."""
        now = time.monotonic()
        for blow in [blow for blow in self.blows if now >= blow.ends_at]:
            self._heal(blow)
        if now >= self._next_at and len(self.blows) < self._at_once:
            self._next_at = now + self._rng.uniform(*PAUSE)
            self._deal(now)

    def heal(self) -> None:
        """Heal everything."""
        for blow in list(self.blows):
            self._heal(blow)

    def _deal(self, now: float) -> None:
        """Every fault comes once before one comes again."""
        if not self._deck:
            self._deck = self._rng.sample(FAULTS, len(FAULTS))
        fault = self._deck.pop()
        busy = {blow.hit.target for blow in self.blows}
        targets = [target for target in self._field.targets(fault.hits) if target not in busy]
        if not targets:
            self._deck.insert(0, fault)
            return
        hit = self._field.hit(self._rng.choice(targets), self._rng)
        lasts = self._rng.uniform(*fault.lasts) if fault.lasts else 0.0
        self.dealt += 1
        blow = Blow(self.dealt, fault, hit, now + lasts)
        self._note("invoke", blow)
        fault.inflict(self._field, hit)
        self._note("info", blow)
        if fault.lasts is None:
            self._note("ok", blow)
        else:
            self.blows.append(blow)

    def _heal(self, blow: Blow) -> None:
        self.blows.remove(blow)
        blow.fault.heal(self._field, blow.hit)
        self._note("ok", blow)

    def _note(self, type_: Type, blow: Blow) -> None:
        how = {"number": blow.number, "fault": blow.fault.name, "scope": blow.fault.scope, "target": blow.hit.target}
        self._history.add("nemesis", type_, "fault", **how, **blow.hit.how)
