"""The steps that wait for the provider, and their admission."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentfleet.domain.admission import Need
from agentfleet.domain.model import Doorbell
from agentfleet.domain.states import StepEvent, step_sources
from agentfleet.store import statements
from agentfleet.store.database import Database

ADMITTABLE = step_sources(StepEvent.ADMIT)


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many steps of a tenant wait for a bucket, and what they need all together, in tokens."""

    bucket: str
    tenant_id: str
    weight: float
    steps: int
    input_tokens: float
    output_tokens: float


async def waiting(db: Database, pool: str) -> list[Waiting]:
    """Who waits for which bucket of the provider."""
    return [Waiting(*row) for row in await db.fetch(statements.WAITING_BUCKETS, {"pool": pool})]


async def first(
    db: Database, pool: str, bucket: str, tenant_ids: Sequence[str], *, limit: int
) -> dict[str, list[tuple[str, Need]]]:
    """The first ``limit`` steps of each tenant that wait for the bucket, in their order, with what each needs."""
    params = {"pool": pool, "bucket": bucket, "tenant_id": list(tenant_ids), "limit": limit}
    found: dict[str, list[tuple[str, Need]]] = {}
    for tenant_id, step_id, input_tokens, output_tokens in await db.fetch(statements.NEXT_WAITING, params):
        found.setdefault(tenant_id, []).append((step_id, Need(bucket, input_tokens, output_tokens)))
    return found


async def expect(
    db: Database,
    pool: str,
    bucket: str,
    shares: Mapping[str, float],
    limits: tuple[float, float, float],
    *,
    next_in: float,
    limit: int,
) -> int:
    """Correct the expected times of those who wait for the bucket, where they are wrong; of how many.

    ``shares`` of its ``limits`` (requests, input and output tokens a minute) by tenant; the first of all may go on in
    ``next_in`` seconds.
    """
    requests, input_tokens, output_tokens = limits
    params = {"pool": pool, "bucket": bucket, "tenant_id": list(shares), "share": list(shares.values())}
    params |= {"requests": requests, "input_tokens": input_tokens, "output_tokens": output_tokens}
    return len(await db.fetch(statements.EXPECT_WAITING, {**params, "next_in": next_in, "limit": limit}))


async def admit(db: Database, step_ids: Sequence[str]) -> list[Doorbell]:
    """Dispatch waiting steps; the caller publishes them. Absent: it no longer waits, or somebody holds its run."""
    rows = await db.fetch(statements.ADMIT_STEPS, {"step_id": list(step_ids), "admittable": ADMITTABLE})
    return [Doorbell(*row) for row in rows]
