"""Redis is a doorbell: emptied, killed, stalled, full, failed over or cut off, it loses no run and stops no intake."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from prometheus_client import REGISTRY
from redis import Redis as Sync
from redis.asyncio import Redis

from agentfleet import bootstrap
from agentfleet.agents.agent import Agent
from agentfleet.broker import names
from agentfleet.dev.embedded import EmbeddedRedis, EmbeddedServer
from agentfleet.settings import Settings
from agentfleet.store import api_keys
from tests.acceptance import agents
from tests.acceptance.fleet import TENANT, Fleet, until
from tests.chaos.figures import Figures
from tests.chaos.link import Link

LEASE = 4
"""Seconds; heartbeats come eight times as often."""
STEADY = {"worker_capacity": 50, "lease": 60}
"""A worker that takes a flood in pieces, and loses no lease to a busy machine: that would be another fault."""


@pytest.fixture
async def operator(fleet: Fleet) -> AsyncIterator[Redis]:
    """A client of the fleet's Redis that is no part of it."""
    async with Redis.from_url(fleet.ground.redis_url) as client:
        yield client


def queue(pool: str = "default") -> str:
    return names.queue("agentfleet", pool)


async def queued(fleet: Fleet, client: Redis, agent: Agent, count: int) -> list[str]:
    """Submit runs that nobody has room for: their messages lie in Redis."""
    runs = await fleet.submit(agent, count)
    assert await client.llen(queue(agent.pool)) >= count - 1, "a worker takes one too many after each reconnect"
    return runs


async def test_flushall_loses_nothing(fleet: Fleet, figures: Figures, many, operator: Redis) -> None:
    await fleet.worker(worker_capacity=2)
    rounds, runs = many(3, 30), list[str]()
    for _ in range(rounds):
        (fleet.directory / "open").unlink(missing_ok=True)
        before = len(fleet.calls("hold"))
        runs += await fleet.submit(agents.holder, 2)
        await fleet.called("hold", before + 2)
        lost = await queued(fleet, operator, agents.notes, 5)
        await operator.flushall()
        fleet.open()
        with figures.timed():
            await fleet.finished(lost)
        runs += lost
    await fleet.finished(runs)
    assert len(fleet.calls("note_a")) == 5 * rounds, "no tool ran twice"
    figures.note("F9", n=rounds, lost=0)


async def test_every_restart_of_redis_is_survived(fleet: Fleet, figures: Figures, many) -> None:
    worker = await fleet.worker(worker_capacity=4, lease=60)  # the machine may be busy; deaf is what it must not be
    held = await fleet.submit(agents.holder, 2)
    await fleet.called("hold", 2)
    restarts = many(3, 50)
    for _ in range(restarts):
        misses = len(worker.logs_at("error"))
        await fleet.ground.kill_redis()
        await until(lambda misses=misses: len(worker.logs_at("error")) > misses, "the worker misses Redis")
        away = await fleet.submit(agents.notes)
        fleet.ground.redis.revive()
        back = await fleet.submit(agents.chat)
        with figures.timed():
            await until(lambda back=back: fleet.states(back) != ["queued"], "a step is claimed")
        await fleet.finished([*away, *back])
    fleet.open()
    await fleet.finished(held)
    assert fleet.outcomes(held, "hold") == [("succeed", 1, str(worker.pid))] * 2
    assert await worker.end() == 0
    assert not worker.logs("consumer_stuck")
    figures.note("F10", n=restarts, deaf=0)


async def test_a_stalled_redis_does_not_stop_intake(fleet: Fleet, figures: Figures, many) -> None:
    ingress = fleet.ground.start("workers.ingress", directory=fleet.directory, port=0)
    fleet.workers.append(ingress)
    await fleet.worker(**STEADY)
    key, posts, answers = (
        await api_keys.create(fleet.ingress.db, TENANT, "intake"),
        many(20, 900),
        list[httpx2.Response](),
    )
    await ingress.ready()
    url, headers = (ingress.announced or {})["url"], {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=60) as client:

        async def posted() -> bool:
            with figures.timed():
                answers.append(await client.post("/v1/runs", json={"agent": "chat", "input": "Go."}))
            return len(answers) == posts

        with stopped(fleet.ground.redis):
            await until(posted, "all runs are submitted")
    assert {answer.status_code for answer in answers} == {202}
    await fleet.finished([answer.json()["id"] for answer in answers])
    assert await ingress.end() == 0
    figures.note("F11", n=posts, errors=0, lost=0)


@contextmanager
def stopped(redis: EmbeddedServer) -> Iterator[None]:
    """It accepts connections and answers nothing."""
    assert redis.pid is not None
    os.kill(redis.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(redis.pid, signal.SIGCONT)


async def test_a_full_redis_loses_nothing(fleet: Fleet, figures: Figures, many, operator: Redis) -> None:
    worker = await fleet.worker(**STEADY)
    before, count = REGISTRY.get_sample_value("agentfleet_publish_failures_total"), many(20, 1_000)
    await operator.config_set("maxmemory", 1)
    try:
        runs = await fleet.submit(agents.notes, count)
        failures = REGISTRY.get_sample_value("agentfleet_publish_failures_total")
        assert (before, failures) == (before, (before or 0) + count)
        await operator.client_kill_filter(_type="normal", skipme=True)  # who comes back finds it full
        await until(lambda: fleet.ground.duties[1].logs("publish_failed"), "the reconciler tries in vain")
    finally:
        await operator.config_set("maxmemory", 0)
    await fleet.finished(runs)
    assert await worker.end() == 0
    figures.note("F12", n=count, lost=0)


async def test_a_redis_that_evicts_is_refused_at_start(fleet: Fleet, operator: Redis) -> None:
    for duty in fleet.ground.duties:
        await duty.ready()
    await operator.config_set("maxmemory-policy", "allkeys-lru")
    try:
        for kind in ("steps", "ingress", "dispatcher", "reconciler"):
            fleet.workers.append(fleet.ground.start(f"workers.{kind}", directory=fleet.directory, port=0))
        assert 0 not in [await process.wait() for process in fleet.workers]
    finally:
        await operator.config_set("maxmemory-policy", "noeviction")
    for process in fleet.workers:
        assert process.announced is None
        assert any("CONFIG SET maxmemory-policy noeviction" in line for line in process.printed)


async def test_a_failover_that_loses_writes_loses_no_run(fleet: Fleet, figures: Figures, many, tmp_path: Path) -> None:
    failovers, pool = many(1, 10), "failover"
    holder, notes = replace(agents.holder, pool=pool), replace(agents.notes, pool=pool)
    with pair(tmp_path) as urls, Link(urls[0]) as link:
        settings = Settings(database_url=fleet.ground.database_url, redis_url=link.url, pool=pool)
        async with bootstrap.ingress(settings) as fleet.ingress:
            for kind in ("dispatcher", "reconciler"):
                duty = fleet.ground.start(f"workers.{kind}", directory=fleet.directory, redis_url=link.url, pool=pool)
                fleet.workers.append(duty)
            await fleet.worker(redis_url=link.url, pool=pool, worker_capacity=2)
            for _ in range(failovers):
                old, new = urls
                await replicate(old, new)
                (fleet.directory / "open").unlink(missing_ok=True)
                called = len(fleet.calls("hold"))
                held = await fleet.submit(holder, 2)
                await fleet.called("hold", called + 2)
                async with Redis.from_url(old) as primary, Redis.from_url(new) as replica:
                    await replica.replicaof("NO", "ONE")
                    lost = await queued(fleet, primary, notes, 5)
                    assert await replica.llen(queue(pool)) == 0
                link.retarget(new)
                fleet.open()
                with figures.timed():
                    await fleet.finished(lost)
                await fleet.finished(held)
                urls.reverse()
    assert len(fleet.calls("note_a")) == 5 * failovers, "no tool ran twice"
    figures.note("F13", n=failovers, lost=0)


@contextmanager
def pair(directory: Path) -> Iterator[list[str]]:
    """The URLs of two servers with one password."""
    servers = [EmbeddedRedis(directory / name, durable=False) for name in ("one", "other")]
    try:
        one, other = (urlsplit(server.start()) for server in servers)
        with Sync.from_url(other.geturl()) as client:
            client.config_set("requirepass", one.password)
        yield [one.geturl(), other._replace(netloc=f":{one.password}@{other.hostname}:{other.port}").geturl()]
    finally:
        for server in servers:
            server.stop()


async def replicate(primary: str, replica: str) -> None:
    """Make one server follow the other."""
    url = urlsplit(primary)
    async with Redis.from_url(replica) as client:
        await client.config_set("masterauth", url.password)
        await client.replicaof(url.hostname, url.port)

        async def follows() -> bool:
            return (await client.info("replication"))["master_link_status"] == "up"

        await until(follows, "the replica follows")


@pytest.mark.parametrize("how", ["blackhole", "refuse"])
async def test_a_worker_without_redis_finishes_its_steps(fleet: Fleet, figures: Figures, many, how: str) -> None:
    count = many(5, 200)
    with Link(fleet.ground.redis_url) as link:
        cut = await fleet.worker(redis_url=link.url, stuck_after=12, lease=LEASE)
        held = await fleet.submit(agents.holder, count)
        await fleet.called("hold", count)
        leases = "SELECT min(lease_until) FROM steps WHERE state = 'running'"
        getattr(link, how)()
        other, [(first,)] = await fleet.worker(), fleet.query(leases)
        await until(lambda: fleet.query(leases)[0][0] > first + timedelta(seconds=LEASE), "a whole lease has passed")
        fleet.open()
        await fleet.finished(held)
        assert fleet.outcomes(held, "hold") == [("succeed", 1, str(cut.pid))] * count
        link.heal()
        assert await other.end() == 0
        await fleet.finished(await fleet.submit(agents.notes))
        assert await cut.end() == 0
    figures.note("F39", n=count, doubled=0, lost=0)
