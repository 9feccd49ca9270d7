"""The gauges that the reconciler reads from Postgres and Redis."""

import math

import psycopg
from prometheus_client import REGISTRY
from psycopg.conninfo import make_conninfo

from agentfleet.broker.room import RoomMeter
from agentfleet.engine.measure import Meter
from agentfleet.store import health
from agentfleet.telemetry import metrics


def gauge(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"agentfleet_{name}", labels)


async def test_connections_of_everybody_are_counted_against_the_limit(db, database_url):
    before, limit = await health.connections(db)
    with psycopg.connect(make_conninfo(database_url)) as other, psycopg.connect(make_conninfo(database_url)):
        assert limit == int(other.execute("SHOW max_connections").fetchone()[0]) - int(
            other.execute("SHOW superuser_reserved_connections").fetchone()[0]
        )
        assert (await health.connections(db))[0] >= before + 2
        await Meter(db).run_once()
        assert gauge("postgres_connections", state="limit") == limit
        assert gauge("postgres_connections", state="used") >= before + 2


async def test_redis_tells_how_full_it_is_and_whether_it_would_drop_keys(redis):
    await redis.config_set("maxmemory", 100_000_000)
    try:
        await RoomMeter(redis).run_once()
        assert gauge("redis_memory_bytes", state="limit") == 100_000_000
        assert gauge("redis_evicts") == 0
        await redis.config_set("maxmemory-policy", "allkeys-lru")
        await redis.config_set("maxmemory", 0)
        await RoomMeter(redis).run_once()
        assert gauge("redis_evicts") == 1
        assert gauge("redis_memory_bytes", state="limit") > gauge("redis_memory_bytes", state="used") > 0
    finally:
        await redis.config_set("maxmemory", 0)
        await redis.config_set("maxmemory-policy", "noeviction")


async def test_who_leads_no_more_forgets_what_it_told(db, redis):
    await Meter(db).run_once()
    await RoomMeter(redis).run_once()
    metrics.forget_led()
    assert gauge("postgres_connections", state="used") is None
    assert math.isnan(gauge("redis_evicts"))
