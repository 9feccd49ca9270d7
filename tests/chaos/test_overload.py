"""Postgres has no connection, no disk, no patience left: that is told, nothing is spent in vain, and it passes."""

import time
from collections.abc import AsyncIterator

import httpx2
import psycopg
import pytest

from agentfleet.store import api_keys
from tests.acceptance import agents
from tests.acceptance.fleet import TENANT, Fleet, Ground, Process, until
from tests.chaos.disk import Disk, disk
from tests.chaos.estate import Estate, estate
from tests.chaos.figures import Figures

pytestmark = pytest.mark.timeout(900)  # the nightly sizes take their time

CUT_OFF = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name IN ('agentfleet-ingress', 'agentfleet-reconciler', 'agentfleet-reconciler-leader')
"""
BODY = {"agent": "notes", "input": "Go."}


class Api:
    """A client of an ingress process."""

    def __init__(self, ingress: Process, key: str) -> None:
        assert ingress.announced is not None
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx2.AsyncClient(base_url=ingress.announced["url"], headers=headers, timeout=60)
        self.accepted: list[str] = []

    async def post(self) -> httpx2.Response:
        """Submit a run; what is accepted is remembered, and any other answer must be a proper 503."""
        response = await self._http.post("/v1/runs", json=BODY)
        if response.status_code == 202:
            self.accepted.append(response.json()["id"])
        else:
            assert response.status_code == 503, response.text
            assert response.headers["content-type"] == "application/problem+json"
            assert int(response.headers["retry-after"]) >= 1
        return response

    async def posted(self, status: int) -> bool:
        return (await self.post()).status_code == status

    async def close(self) -> None:
        await self._http.aclose()


async def api(fleet: Fleet) -> Api:
    """Start an ingress."""
    key = await api_keys.create(fleet.ingress.db, TENANT, "chaos")
    ingress = fleet.ground.start("workers.ingress", directory=fleet.directory, port=0)
    fleet.workers.append(ingress)
    return Api(await ingress.ready(), key)


class Hog:
    """Takes every connection that the server has."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._taken: list[psycopg.Connection] = []

    def feed(self) -> None:
        """Take what is free."""
        while True:
            try:
                self._taken.append(psycopg.connect(self._url, autocommit=True, application_name="hog"))
            except psycopg.errors.TooManyConnections:
                return
            except psycopg.OperationalError as error:
                assert "too many clients" in str(error)  # noqa: PT017  # before the login is done it has no class
                return

    def query(self, statement: str) -> list[tuple]:
        """Over one of its connections: there is no other."""
        cursor = self._taken[0].execute(statement.encode())
        return cursor.fetchall()

    def go(self) -> None:
        """Let everything go."""
        for connection in self._taken:
            connection.close()


async def test_exhausted_connections_are_told_and_outlived(fleet: Fleet, figures: Figures, many) -> None:
    client, rounds = await api(fleet), many(1, 10)
    for _ in range(rounds):
        doomed = await fleet.worker()
        held = await fleet.submit(agents.holder)
        await fleet.called("hold")
        hog = Hog(fleet.ground.database_url)
        try:
            hog.feed()
            doomed.kill()
            await rescued(hog)
            while hog.query(CUT_OFF):
                hog.feed()
            await until(lambda: client.posted(503), "the ingress says that it cannot")
        finally:
            hog.go()
        with figures.timed():
            await until(lambda: client.posted(202), "the ingress accepts again")
        fleet.open()
        await fleet.worker()
        await fleet.finished([*held, *client.accepted])
    assert all(duty.code is None for duty in fleet.ground.duties), "nobody died of it"
    await client.close()
    figures.note("F16", n=rounds, lost=0)


async def rescued(hog: Hog) -> None:
    """The reconciler works on the connections that it has."""
    query = "SELECT 1 FROM steps WHERE state <> 'running' AND crashes = 1"
    await until(lambda: hog.query(query), "the dead worker's step is taken back")


@pytest.fixture
async def small(ground: Ground, tmp_path) -> AsyncIterator[tuple[Estate, Disk]]:
    """A fleet whose Postgres is on a small disk."""
    with disk() as its:
        async with estate(ground, tmp_path, its.directory, window=4) as made:
            yield made, its


async def test_a_full_disk_spends_nothing(small, figures: Figures, many) -> None:
    made, its = small
    fleet, rounds, calls_while_full = made.fleet, many(1, 10), 0
    log = fleet.ground.simulator.simulator
    client = await api(fleet)
    worker = await fleet.worker()
    for _ in range(rounds):
        runs = await fleet.submit(agents.notes, 60)  # most of them wait, and could be dispatched and claimed
        settled = fleet.settlements()
        await until(lambda settled=settled: fleet.settlements() > settled + 10, "steps settle")
        noticed, rejected = len(worker.logs("settle_outcome_unknown")), 0
        its.fill(made.url)
        await until(lambda n=noticed: len(worker.logs("settle_outcome_unknown")) > n + 2, "the worker notices")
        spent, known = log.log.total, len(worker.logs("settle_outcome_unknown"))
        while rejected < 3:
            rejected += await client.posted(503)
        await until(lambda n=known: len(worker.logs("settle_outcome_unknown")) > n + 4, "it tries, and tries again")
        calls_while_full += log.log.total - spent
        its.free(made.url)
        with figures.timed():
            settled = fleet.settlements()
            await until(lambda settled=settled: fleet.settlements() > settled, "steps settle again")
        await until(lambda: client.posted(202), "the ingress accepts again")
        await fleet.finished([*runs, *client.accepted])
    assert calls_while_full == 0
    await client.close()
    figures.note("F17", n=rounds, lost=0, calls_while_full=calls_while_full)


@pytest.mark.parametrize("what", ["runs", "steps"])
async def test_a_held_lock_stalls_only_its_own_run(fleet: Fleet, figures: Figures, many, what) -> None:
    await fleet.worker(statement_timeout=15)
    held, *others = await fleet.submit(agents.holder, 6)
    await fleet.called("hold", 6)
    with psycopg.connect(fleet.ground.database_url) as holder:
        column = "id" if what == "runs" else "run_id"
        holder.execute(f"SELECT FROM {what} WHERE {column} = %s FOR UPDATE".encode(), (held,))
        fleet.open()  # all six settle at once, in one statement
        with figures.timed():
            await until(lambda: set(fleet.states(others)) == {"succeeded"}, "the others' steps settle")
        until_when, more = time.monotonic() + many(0, 60), 0
        while True:
            with figures.timed():
                runs = await fleet.submit(agents.notes, 5)
                await until(lambda runs=runs: set(fleet.states(runs)) == {"succeeded"}, "new runs end")
            more += 5
            if time.monotonic() > until_when:
                break
        assert fleet.states([held]) == ["running"]
    await fleet.finished([held])
    figures.note("F19", n=len(others) + more, stuck=0)
