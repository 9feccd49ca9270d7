"""Who comes next: weighted fair queuing over tenants.

Start-time fair queuing (Goyal, Vin and Cheng, "Start-time Fair Queuing", SIGCOMM 1996): each step starts, in virtual
time, when its tenant's last one has finished, but not before now, and takes its cost divided by the tenant's weight;
the earliest start is served first. So a tenant with twice the weight gets twice as much of what is scarce, one that was
away does not catch up, and one with a thousand steps does not hold up another's first. What a step costs is the
largest share that it takes of any limit (Ghodsi et al., "Dominant Resource Fairness", NSDI 2011).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Turn(Generic[Item]):
    """One place in the order, in virtual time."""

    tenant: str
    item: Item
    start: float
    finish: float


class FairQueue(Generic[Item]):
    """The order of service of one scarce thing. It remembers what was served; whatever restarts begins anew."""

    def __init__(self) -> None:
        self._now = 0.0
        self._finished: dict[str, float] = {}

    def order(
        self, waiting: Mapping[str, Sequence[tuple[Item, float]]], weights: Mapping[str, float], *, most: int
    ) -> list[Turn[Item]]:
        """The next ``most`` turns. ``waiting`` has each tenant's items in its own order, with their costs (> 0)."""
        turns = list[Turn[Item]]()
        heap = [(max(self._now, self._finished.get(tenant, 0.0)), tenant, 0) for tenant in waiting if waiting[tenant]]
        heapify(heap)
        while heap and len(turns) < most:
            start, tenant, place = heappop(heap)
            item, cost = waiting[tenant][place]
            finish = start + cost / weights.get(tenant, 1.0)
            turns.append(Turn(tenant, item, start, finish))
            if place + 1 < len(waiting[tenant]):
                heappush(heap, (finish, tenant, place + 1))
        return turns

    def served(self, turns: Sequence[Turn[Item]]) -> None:
        """These turns were taken."""
        for turn in turns:
            self._now = max(self._now, turn.start)
            self._finished[turn.tenant] = turn.finish
        self._finished = {tenant: finish for tenant, finish in self._finished.items() if finish > self._now}


def dominant_share(need: Sequence[float], limits: Sequence[float]) -> float:
    """The largest share of any limit that is needed."""
    return max(amount / limit for amount, limit in zip(need, limits, strict=True))
