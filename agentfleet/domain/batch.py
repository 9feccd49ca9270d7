"""The batch lane's rules: who goes, how long a step may wait for a batch, how a batch that got lost is found again.

Message Batches cost half and are answered within minutes, an hour or, at worst, a day
(https://platform.claude.com/docs/en/build-with-claude/batch-processing). A run goes there when its deadline is loose.
Each of its model calls waits for a batch until the deadline is so near that a direct call must do: then it is spilled.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

LANE = "batch"
"""``runs.lane`` of a run whose model calls may wait for Message Batches."""
LEAST_WAIT = 300.0
"""Seconds; with less time than this before the spill no batch can be hoped for."""
PATIENCE = 900.0
"""Seconds that a step waits to be taken into a batch. Nobody came: the lane is not served, and it calls directly."""
MARGIN_SECONDS, MARGIN_SHARE = 1_800.0, 0.25
"""What is kept for direct calls at the end of a deadline, unless a setting says: half an hour or a quarter."""
CLOCK_SKEW = 600.0
"""Seconds by which the provider's clock may differ from the database's."""
LONGEST_LOOK = 300.0
"""Seconds between two looks at a batch that takes long."""
ABANDONED_AFTER = 2 * 86_400.0
"""Seconds; a batch ends within a day, so one that cannot be read for two is given up."""

_CUSTOM_ID = re.compile(r"([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})_\d+")


class ItemState(StrEnum):
    """Where one step's request is."""

    WAITING = "waiting"
    """In no batch yet."""
    SENDING = "sending"
    """In a batch; not answered."""
    SUCCEEDED = "succeeded"
    """Its result is a complete turn."""
    FAILED = "failed"
    """Its result is a refusal that a direct call would get, too."""
    SPILLED = "spilled"
    """The step calls directly. A result, if there is one, came too late: it is paid for and not used."""


@dataclass(frozen=True, slots=True)
class Slack:
    """What a run has left: ``left`` of the ``whole`` deadline, in seconds; ``None``: it has no deadline."""

    left: float | None
    whole: float | None

    def spill_in(self, margin: float | None) -> float:
        """Seconds until the step must call directly; ``margin`` is the setting."""
        if self.left is None or self.whole is None:
            return 0.0
        kept = max(MARGIN_SECONDS, MARGIN_SHARE * self.whole) if margin is None else margin
        return max(self.left - kept, 0.0)


def choose_lane(deadline: float | None, *, asked: str | None, agent: bool | None, loose: float) -> str | None:
    """The lane of a new run: what the request asks for, else what the agent says, else by its deadline.

    ``deadline`` and ``loose`` (the shortest one that counts as loose) in seconds. An agent with ``batch=True`` goes
    whatever its deadline is, if it has one.
    """
    if deadline is None or asked == "direct" or agent is False:
        return None
    return LANE if asked == LANE or agent or deadline >= loose else None


def custom_id(batch_id: str, number: int) -> str:
    """The name of a request within a batch, which tells the batch: one result identifies it."""
    return f"{batch_id.replace('-', '')}_{number}"


def batch_of(custom_id: str) -> str | None:
    """Our id of the batch that the request is of; ``None``: it is not ours."""
    found = _CUSTOM_ID.fullmatch(custom_id)
    return "-".join(found.groups()) if found else None


def look_again_after(age: float, at_least: float) -> float:
    """Seconds until the next look at a batch of this age: the longer it takes, the less often."""
    return min(max(age / 10, at_least), LONGEST_LOOK)
