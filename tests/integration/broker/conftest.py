"""A Celery app on a real Redis, and a step worker's Celery half in this process: everything but the steps."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from celery import Celery
from kombu import Connection, pools
from redis import Redis as SyncRedis
from redis.asyncio import Redis

from agentfleet.broker import names
from agentfleet.broker.app import make_app
from agentfleet.broker.publisher import RedisPublisher
from agentfleet.domain.model import Doorbell
from agentfleet.settings import Settings
from agentfleet.store.ids import new_id

QUEUE = names.queue("agentfleet", "default")


def bell(**changes: Any) -> Doorbell:
    """A step that is to be rung for."""
    given = {
        "step_id": new_id(),
        "run_id": new_id(),
        "pool": "default",
        "agent": "support",
        "kind": "tool",
        "name": "look",
        "seq": 4,
        "attempt": 2,
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        **changes,
    }
    return Doorbell(**given)


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    with make_app(Settings(redis_url=redis_url)) as made:
        yield made
    pools.reset()


@pytest.fixture
def list_(redis_url: str) -> Iterator[SyncRedis]:
    """Looks at the queue's list."""
    with SyncRedis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def connection(app: Celery) -> Iterator[Connection]:
    """A connection of the doorbell transport."""
    with app.connection_for_read() as made:
        yield made


@pytest.fixture
async def publisher(redis: Redis) -> AsyncIterator[RedisPublisher]:
    made = RedisPublisher(redis, prefix="agentfleet")
    yield made
    await made.flush()
