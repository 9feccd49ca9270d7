"""Between the reasoner and the provider's buckets: what a call needs, and the reservation of it."""

import time
from collections.abc import Collection, Sequence

from agentfleet.domain.budget import Usage
from agentfleet.domain.errors import ProviderBusy
from agentfleet.engine.ports import ReasonRequest
from agentfleet.provider.admission import Admission
from agentfleet.provider.estimate import Estimates
from agentfleet.provider.models import group_of
from agentfleet.provider.reservation import Reservation

LOOK_EVERY = 1.0
"""Seconds for which a look at parked accounts is good."""


class Quota:
    """What one process may ask of the provider.

    ``reads_count`` are the groups, or buckets, in which cache reads count as input; ``probe`` in seconds is how often a
    parked account is looked at.
    """

    def __init__(self, admission: Admission, *, reads_count: Collection[str], probe: float) -> None:
        self.admission = admission
        self._estimates = Estimates()
        self._reads_count, self._probe = frozenset(reads_count), probe
        self._closed: frozenset[str] = frozenset()
        self._look_at = 0.0

    async def look(self, organizations: Sequence[str], *, now: bool = False) -> None:
        """Learn which accounts take no call, if it makes a difference and was not asked just now; ``now``: it was."""
        clock = time.monotonic()
        if len(organizations) > 1 and (now or clock >= self._look_at):
            self._look_at = clock + LOOK_EVERY
            self._closed = await self.admission.closed(organizations)

    def is_closed(self, organization: str) -> bool:
        """As of the last look. A parked account is not while somebody has to look whether it works again."""
        return organization in self._closed

    async def reserve(self, request: ReasonRequest, organization: str, *, warm: bool) -> Reservation:
        """Room for the call in the bucket of its organization and model group; raises ``ProviderBusy``.

        ``warm``: the prefix that it shares with others is in the provider's cache.
        """
        group = group_of(request.model)
        bucket = f"{organization}/{group}"
        given = not self._reads_count.isdisjoint((group, bucket))
        counts = given or self.admission.reads_count(bucket)
        need = self._estimates.need(request, bucket, warm=warm and not counts, cache_reads_count=counts)
        try:
            begun = await self.admission.reserve(need, request.step_id)
        except ProviderBusy as busy:
            if request.bundle.spec.get("fallback_models") and await self.admission.shut(bucket):
                busy.detail["overloaded"] = True  # not full: away, and another model may stand in
            raise
        counts = given or self.admission.reads_count(bucket)
        return Reservation(self.admission, need, begun=begun, cache_reads_count=counts, probe=self._probe)

    def learn(self, request: ReasonRequest, usage: Usage) -> None:
        """From a call that was answered."""
        self._estimates.learn(request, usage)
