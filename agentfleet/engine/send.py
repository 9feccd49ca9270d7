"""Send: steps that wait for a batch are put into one.

Creating a batch is not idempotent and costs money, so who is in it is committed before the provider hears of it. Who
dies in between, or does not hear the answer, leaves a batch of which nobody knows whether it was accepted. Some time
later it is looked for among the account's batches: one that nobody knows, with as many requests, may be it, and its
first result tells, because a custom id names the batch. If there is none, it was never accepted, and its steps go into
another one.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import aclosing
from datetime import timedelta

import structlog

from agentfleet import failpoints
from agentfleet.domain.batch import CLOCK_SKEW, LANE, LEAST_WAIT, batch_of, custom_id
from agentfleet.domain.errors import (
    ProviderOverloaded,
    ProviderParked,
    ProviderRateLimited,
    ProviderUnavailable,
    StepError,
)
from agentfleet.domain.plan import LoopState
from agentfleet.domain.verdicts import Verdict, classify
from agentfleet.engine.ports import BatchService, ReasonRequest
from agentfleet.store import batches
from agentfleet.store.batches import OpenBatch, Unbatched
from agentfleet.store.bundles import Bundles
from agentfleet.store.database import Database
from agentfleet.store.ids import new_id
from agentfleet.telemetry import metrics

log = structlog.get_logger("agentfleet.batch")

CREATE = failpoints.declare("create_batch", lambda: ProviderUnavailable("failpoint create_batch"), repeatable=False)
MAX_BYTES = 64 * 1024 * 1024
"""Of stored text in one batch; the provider takes 256 MB, and we hold a few copies."""
REST = 60.0
"""Seconds for which an account is left alone that refused a batch and did not say for how long."""
HURRY = 0.8
"""Share of the time after which a batch is looked for that creating it may take."""


class Sender:
    """Sends batches of at most ``max_requests``. ``margin`` (seconds) is the setting; ``recover_after`` seconds after
    it was written down, a batch that nobody has heard of is looked for.
    """

    def __init__(
        self,
        db: Database,
        bundles: Bundles,
        service: BatchService,
        *,
        margin: float | None,
        max_requests: int,
        recover_after: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db, self._bundles, self._service = db, bundles, service
        self._margin, self._max_requests, self._recover_after = margin, max_requests, recover_after
        self._clock = clock
        self._resting: dict[str, float] = {}
        self._foreign: set[str] = set()
        """Batches of the provider that are not ours: others use the account, too."""

    async def run_once(self) -> int:
        """Find out about batches in doubt, then send what waits; how many requests, if more probably wait."""
        in_doubt = [one for one in await batches.open_batches(self._db) if one.provider_id is None]
        busy = {one.account for one in in_doubt if one.age < self._recover_after or not await self._recover(one)}
        waiting = await batches.unbatched(self._db, limit=self._max_requests, max_bytes=MAX_BYTES)
        by_account = await self._requests(waiting)
        sent = 0
        for account, members in by_account.items():
            if account not in busy and self._resting.get(account, 0.0) <= self._clock():
                sent += await self._send(account, members)
        return sent if len(waiting) >= self._max_requests else 0  # few are worth waiting for more

    async def _requests(self, waiting: Sequence[Unbatched]) -> dict[str, list[tuple[Unbatched, ReasonRequest]]]:
        """What each account will be asked. Who cannot be asked for calls directly in the end, and is told there."""
        found = defaultdict[str, list[tuple[Unbatched, ReasonRequest]]](list)
        for one in waiting:
            if one.slack.spill_in(self._margin) < LEAST_WAIT:
                continue  # it calls directly before long
            try:
                request = await self._request(one)
                found[self._service.account_of(request)].append((one, request))
            except StepError as error:
                log.warning("batch_left_out", run_id=one.run_id, step_id=one.step_id, error=str(error))
        return found

    async def _request(self, one: Unbatched) -> ReasonRequest:
        """The same as the step's worker would make."""
        bundle = await self._bundles.load(one.bundle_id)
        return ReasonRequest(
            bundle,
            one.conversation,
            int(bundle.spec["max_tokens"]) << LoopState.loads(one.input).growth,
            one.run_id,
            one.step_id,
            model=one.model,
            tenant_id=one.tenant_id,
            account=one.account,
            prompt_tokens=one.prompt_tokens,
            prompt_age=one.prompt_age,
            lane=LANE,
        )

    async def _send(self, account: str, members: Sequence[tuple[Unbatched, ReasonRequest]]) -> int:
        batch_id = new_id()
        items = [
            (one.step_id, custom_id(batch_id, number), one.slack.spill_in(self._margin))
            for number, (one, _) in enumerate(members)
        ]
        inside = await batches.open_batch(self._db, batch_id, account, items)
        requests = [
            (name, request)
            for (step_id, name, _), (_, request) in zip(items, members, strict=True)
            if step_id in inside
        ]
        if requests:
            await self._create(batch_id, account, requests)
        return len(requests)

    async def _create(self, batch_id: str, account: str, requests: Sequence[tuple[str, ReasonRequest]]) -> None:
        try:
            async with asyncio.timeout(self._recover_after * HURRY):
                provider_id = await CREATE.around(lambda: self._service.create(account, requests))
        except (StepError, TimeoutError) as error:
            await self._refused(batch_id, account, error)
        else:
            await batches.record(self._db, batch_id, provider_id)
            metrics.BATCH_ITEMS.labels("sent").inc(len(requests))
            log.info("batch_sent", batch=batch_id, provider_id=provider_id, account=account, requests=len(requests))

    async def _refused(self, batch_id: str, account: str, error: BaseException) -> None:
        """An answer that says no is the end of the batch; anything else leaves it in doubt."""
        sure = _surely_refused(error)
        log.warning("batch_not_sent", batch=batch_id, account=account, in_doubt=not sure, error=str(error)[:500])
        if sure:
            again = classify(error) is not Verdict.PERMANENT
            if again:
                wait = getattr(error, "retry_after", None)
                self._resting[account] = self._clock() + (REST if wait is None else wait)
            await batches.close(self._db, batch_id, lost=True, again=again)

    async def _recover(self, batch: OpenBatch) -> bool:
        """Find out whether the provider has the batch; ``False`` while that cannot be told."""
        try:
            found, unsure = await self._find(batch)
        except StepError as error:
            log.warning("batch_still_in_doubt", batch=batch.id, account=batch.account, error=str(error)[:500])
            if classify(error) is Verdict.PERMANENT:  # its account is gone
                await batches.close(self._db, batch.id, lost=True)
            return False
        log.info("batch_looked_for", batch=batch.id, account=batch.account, found=found, unsure=unsure)
        if found is not None:
            await batches.record(self._db, batch.id, found)
        elif not unsure:
            await batches.close(self._db, batch.id, lost=True, again=True)
        return found is not None or not unsure

    async def _find(self, batch: OpenBatch) -> tuple[str | None, bool]:
        """The provider's id of it; and whether one that has not ended may be it."""
        since = batch.created_at - timedelta(seconds=CLOCK_SKEW)
        recent = await self._service.recent(batch.account, since)
        known = await batches.known(self._db, [one.provider_id for one in recent]) | self._foreign
        unsure = False
        for one in recent:
            if one.provider_id in known or one.requests != batch.requests:
                continue
            if not one.ended:
                unsure = True
                continue
            owner = await self._owner(batch.account, one.provider_id)
            if owner == batch.id:
                return one.provider_id, False
            if owner is None:
                self._foreign.add(one.provider_id)
        return None, unsure

    async def _owner(self, account: str, provider_id: str) -> str | None:
        """Our id of a batch that has ended; ``None``: somebody else's."""
        async with aclosing(self._service.results(account, provider_id)) as results:
            async for name, _, _ in results:
                return batch_of(name)
        return None


def _surely_refused(error: BaseException) -> bool:
    """Whether there certainly is no batch: an answer that says so, or nothing was sent at all."""
    if isinstance(error, ProviderRateLimited | ProviderParked | ProviderOverloaded):
        return (error.status or 429) in {*range(400, 500), 529}
    return classify(error) is Verdict.PERMANENT
