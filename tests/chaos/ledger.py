"""What really happened, written down while it happens: who held which step, which effects began, what each run became.

It learns from the answers of Postgres and from the calls of tools and models, and every line that must not be there is
a violation. (An assertion would be caught by the very code that is under test.)
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentfleet.domain.states import RUN_FINAL, StepEvent
from agentfleet.store import statements as sql
from agentfleet.store.statements import Statement
from tests.chaos.virtual import Line

FINAL = {state.value for state in RUN_FINAL}


@dataclass
class Hold:
    """A worker's right to run a step; ``until`` on the clock of the test."""

    line: str
    run_id: str
    fence: int
    until: float
    excused: bool = False
    """A fault of ours has hit it: what it had paid for may be paid for again."""


@dataclass
class Ledger:
    """The history of one example."""

    clock: Callable[[], float]
    violations: list[str] = field(default_factory=list)
    holds: dict[str, Hold] = field(default_factory=dict)
    """Who may run a step now, by step."""
    kinds: dict[str, str] = field(default_factory=dict)
    succeeded: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    """Runs that were ended from outside, or by a failure."""
    replays: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    """Model calls that were begun and not refused."""
    excuses: int = 0
    """Attempts that a fault of ours has hit: each may cost one more model call."""
    paid: Counter[str] = field(default_factory=Counter)
    """Model calls that settled, by run."""
    unsafe: Counter[str] = field(default_factory=Counter)
    """How often an unsafe effect began, by step."""
    keys: dict[tuple[str, int, int], str] = field(default_factory=dict)
    """The effect key of each logical call: run, turn, part."""
    states: dict[str, str] = field(default_factory=dict)
    """The last seen state of each run."""
    events: dict[tuple[str, int], tuple[str, str]] = field(default_factory=dict)
    """What readers were told, by run and seq."""

    def saw(self, line: Line, statement: Statement, params: Mapping[str, Any], rows: list[tuple[Any, ...]]) -> None:
        """An answer of Postgres."""
        if statement is sql.CLAIM_STEPS:
            for row in rows:
                self._claimed(line, row, params["lease"])
        elif statement is sql.RENEW_LEASES:
            fences = dict(zip(params["step_id"], params["fence"], strict=True))
            for step_id, renewed in rows:
                if renewed:
                    self._renewed(line, step_id, fences[step_id], params["lease"])
        elif statement is sql.SETTLE_STEPS:
            self._settled(line, params, {row[1] for row in rows if row[0] == "settled"})
        elif statement is sql.END_RUNS:
            for run_id in {row[0] for row in rows}:
                self._ended(run_id)
        elif statement is sql.REPLAY_DEAD_LETTERS:
            self.replays.update(row[1] for row in rows)

    def begins(self, line: str, run_id: str, step_id: str, fence: int | None) -> None:
        """A model or tool call begins; a worker may be wrong about a run that was ended, and about nothing else."""
        hold = self.holds.get(step_id)
        if hold is None:
            if run_id not in self.ended:
                self.violations.append(f"{line} starts {step_id}, which nobody holds")
        elif hold.line != line or fence not in (None, hold.fence):
            self.violations.append(f"{line} starts {step_id} with fence {fence}, which is held: {hold}")
        elif hold.until <= self.clock():
            self.violations.append(f"{line} starts {step_id} when its lease is over")

    def effect(self, step_id: str, effect: str | None, call: tuple[str, int, int], key: str) -> None:
        """A tool's effect happens."""
        if self.keys.setdefault(call, key) != key:
            self.violations.append(f"call {call} has two effect keys: {self.keys[call]} and {key}")
        if effect == "unsafe":
            self.unsafe[step_id] += 1
            if self.unsafe[step_id] > 1 + self.replays[step_id]:
                self.violations.append(f"the unsafe {step_id} has happened {self.unsafe[step_id]} times")

    def excuse(self, fits: Callable[[Hold], bool]) -> None:
        """A fault hits the attempts that ``fits`` tells."""
        for hold in self.holds.values():
            if fits(hold) and not hold.excused:
                hold.excused = True
                self.excuses += 1

    def state(self, run_id: str, state: str) -> None:
        """What the database says of a run."""
        before = self.states.get(run_id)
        if before in FINAL and state != before:
            self.violations.append(f"run {run_id} was {before} and is {state}")
        self.states[run_id] = state

    def told(self, run_id: str, after: int, events: list[tuple[int, str, str]]) -> None:
        """What a reader of a run's events got who had seen all up to ``after``."""
        for expected, (seq, kind, data) in enumerate(events, after + 1):
            if seq != expected:
                self.violations.append(f"run {run_id}: event {seq} follows {expected - 1}")
            if self.events.setdefault((run_id, seq), (kind, data)) != (kind, data):
                self.violations.append(f"run {run_id}: event {seq} has changed")

    def _claimed(self, line: Line, row: tuple[Any, ...], lease: float) -> None:
        step_id, run_id, kind, fence = row[0], row[1], row[7], row[13]
        if step_id in self.holds:
            self.violations.append(f"{line.name} claims {step_id}, which is held: {self.holds[step_id]}")
        if step_id in self.succeeded:
            self.violations.append(f"{line.name} claims {step_id}, which has succeeded")
        self.holds[step_id] = Hold(line.name, run_id, fence, self.clock() + lease)
        self.kinds[step_id] = kind

    def _renewed(self, line: Line, step_id: str, fence: int, lease: float) -> None:
        hold = self.holds.get(step_id)
        if hold is None or (hold.line, hold.fence) != (line.name, fence):
            self.violations.append(f"{line.name} renews {step_id} with fence {fence}: {hold}")
        else:
            hold.until = self.clock() + lease

    def _settled(self, line: Line, params: Mapping[str, Any], settled: set[str]) -> None:
        columns = ("step_id", "run_id", "fence", "event", "expired_only", "run_state")
        for step_id, run_id, fence, event, rescue, run_state in zip(*(params[name] for name in columns), strict=True):
            if step_id not in settled:
                continue
            hold = self.holds.pop(step_id, None)
            if hold is None or hold.fence != fence or not (rescue or hold.line == line.name):
                self.violations.append(f"{line.name} settles {step_id} with fence {fence}: {hold}")
            elif rescue and hold.until >= self.clock():
                self.violations.append(f"{line.name} rescues {step_id} before its lease is over")
            if event == StepEvent.SUCCEED:
                if step_id in self.succeeded:
                    self.violations.append(f"{step_id} succeeds again")
                self.succeeded.add(step_id)
                self.paid[run_id] += self.kinds[step_id] == "reason"
            if run_state == "failed":
                self._ended(run_id)

    def _ended(self, run_id: str) -> None:
        self.ended.add(run_id)
        for step_id in [step_id for step_id, hold in self.holds.items() if hold.run_id == run_id]:
            self.excuses += not self.holds.pop(step_id).excused
