"""The steps that wait for the provider, and their admission."""

from collections.abc import Sequence
from dataclasses import dataclass

from agentfleet.domain.errors import Need
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


async def admit(db: Database, step_ids: Sequence[str]) -> list[Doorbell]:
    """Dispatch waiting steps; the caller publishes them. Absent: it no longer waits, or somebody holds its run."""
    rows = await db.fetch(statements.ADMIT_STEPS, {"step_id": list(step_ids), "admittable": ADMITTABLE})
    return [Doorbell(*row) for row in rows]
