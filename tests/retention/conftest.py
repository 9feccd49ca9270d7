"""A real S3 server on loopback, and runs that ended at any time."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from sqlalchemy import func, insert

from agentfleet.archive import Place, S3Archive, make_archive
from agentfleet.domain.states import RunState, StepState
from agentfleet.engine.archive import unpack
from agentfleet.store import tables
from agentfleet.store.database import Database
from agentfleet.store.ids import new_id
from tests.factories import TENANT, make_run, make_step
from tests.integration.api.conftest import app, client, connect, ingress, key, other_key, settings

__all__ = ["app", "client", "connect", "ingress", "key", "other_key", "settings"]
"""Fixtures: the API in this process."""

DAY = 86_400.0
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """Moto's S3, over HTTP."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True, scope="session")
def credentials() -> Iterator[None]:
    """As boto3's own chain finds them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"AWS_ACCESS_KEY_ID": "made-up", "AWS_SECRET_ACCESS_KEY": "made-up"}.items():
            patch.setenv(name, value)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_CONFIG_FILE", "/nonexistent")
        yield


@pytest.fixture(scope="session")
def somewhere(s3_url: str, credentials: None) -> S3Archive:
    """One client for many archives: boto3 takes a second to make one."""
    made = make_archive("s3://somewhere", endpoint_url=s3_url, region="us-east-1", path_style=True)
    made.connect()
    return made


@pytest.fixture
def bucket(somewhere: S3Archive) -> str:
    """An empty bucket."""
    name = f"runs-{next(_numbers)}"
    somewhere.connect().create_bucket(Bucket=name)
    return name


@pytest.fixture
def archive(somewhere: S3Archive, bucket: str) -> S3Archive:
    """Our archive in that bucket."""
    return replace(somewhere, place=Place(bucket, "of/ours/"))


async def ended(
    db: Database,
    days: float,
    *,
    state: RunState | str = RunState.SUCCEEDED,
    tenant: str = TENANT,
    steps: int = 2,
    **columns: Any,
) -> str:
    """A run that ended so many days ago, with steps, attempts, events and a request key."""
    run_id = await make_run(
        db, RunState(state), tenant=tenant, steps_total=steps, event_seq=2,
        finished_at=func.agentfleet_now() - timedelta(days=days), **columns,
    )  # fmt: skip
    for seq in range(steps):
        made = await make_step(db, StepState.SUCCEEDED, run_id=run_id, tenant=tenant, seq=seq)
        attempt = {"step_id": made.step_id, "fence": 1, "attempt": 1, "outcome": "succeed", "cost_usd": "0.00012300",
                   "claimed_at": func.now(), "finished_at": func.now(), "usage": '{"input_tokens": 1}'}  # fmt: skip
        async with db.reading() as connection:
            await connection.execute(insert(tables.attempts).values(attempt))
    events = [{"run_id": run_id, "seq": seq, "type": "run.queued", "data": "{}"} for seq in (1, 2)]
    key = {"tenant_id": tenant, "key": new_id(), "fingerprint": b"f" * 32, "run_id": run_id}
    async with db.reading() as connection:
        await connection.execute(insert(tables.run_events), events)
        await connection.execute(insert(tables.request_keys).values(key))
    return run_id


async def archived(archive: S3Archive) -> dict[str, dict[str, Any]]:
    """Every run of the archive, by id."""
    found: dict[str, dict[str, Any]] = {}
    for name in await archive.keys(""):
        found |= {document["run"]["id"]: document for document, _ in unpack(name, await archive.get(name))}
    return found
