"""The schema grows under load: for every migration, the code that runs meanwhile is that which would in a deploy."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import httpx2
import psycopg
import pytest

from agentfleet.store import migrate
from tests import invariants
from tests.acceptance.fleet import Ground, Process, until
from tests.chaos.agents_v1 import pilot
from tests.chaos.figures import Figures, nightly, quantile
from tests.chaos.released import code_during
from tests.conftest import with_database
from tests.factories import execute
from tests.zygote import ROOT

PAIRS = list(pairwise(reversed(migrate.revisions())))
if not nightly():
    PAIRS = PAIRS[-1:]  # the others have not changed
SUBMITTERS = 4


class Deployment:
    """A whole fleet of some release on a database of its own, and producers that post runs to it without a pause."""

    def __init__(self, ground: Ground, directory: Path, url: str, code: Path) -> None:
        self._ground, self._directory, self.url, self._code = ground, directory, url, code
        self.processes: list[Process] = []
        self.accepted: list[str] = []
        self.refused: list[str] = []
        self.posts: list[tuple[float, float]] = []
        """When each post began, and how many seconds it took."""
        create_key = [sys.executable, "-m", "agentfleet.cli.main", "keys", "create", "--tenant", "acme", "--name", "x"]
        environment = ground.environment(database_url=url)
        made = subprocess.run(create_key, cwd=code, env=environment, capture_output=True, text=True, check=True)
        self._headers = {"Authorization": f"Bearer {made.stdout.strip()}"}

    async def start(self, *kinds: str, code: Path | None = None) -> list[Process]:
        """Start processes, of this deployment's release unless told otherwise."""
        settings = {
            "database_url": self.url, "redis_prefix": "migrating", "port": 0, "agents": "tests.chaos.agents_v1",
            "drain": 5,
        }  # fmt: skip
        started = [
            self._ground.start(f"workers.{kind}", directory=self._directory, code=code or self._code, **settings)
            for kind in kinds
        ]
        self.processes += started
        return [await process.ready() for process in started]

    async def post(self, ingress: Process, enough: asyncio.Event) -> None:
        """Submit runs, one after the other, until it is enough."""
        assert ingress.announced is not None
        async with httpx2.AsyncClient(base_url=ingress.announced["url"], headers=self._headers, timeout=60) as client:
            while not enough.is_set():
                began = time.monotonic()
                answer = await client.post("/v1/runs", json={"agent": pilot.name, "input": "Go."})
                self.posts.append((began, time.monotonic() - began))
                if answer.status_code == 202:
                    self.accepted.append(answer.json()["id"])
                else:
                    self.refused.append(answer.text)

    async def posted(self, more: int) -> None:
        """Wait for so many more posts, patiently as long as there are any."""
        enough = len(self.posts) + more
        while (count := len(self.posts)) < enough:
            await until(lambda count=count: len(self.posts) > count, "runs are posted")

    async def succeeded(self) -> None:
        """Wait until every accepted run has succeeded, patiently as long as any does."""
        while left := self.lost():
            await until(lambda left=left: self.lost() < left, "accepted runs succeed")

    def seconds(self, begin: float, end: float) -> list[float]:
        """How long the posts took that were under way in this time."""
        return [took for began, took in self.posts if began <= end and began + took >= begin]

    def lost(self) -> int:
        """How many accepted runs have not succeeded."""
        query = "SELECT count(*) FROM runs WHERE id = ANY(%s::uuid[]) AND state = 'succeeded'"
        return len(self.accepted) - execute(self.url, query, self.accepted)[0][0]

    def errors(self) -> list[str]:
        """What any process complained about."""
        return [line["event"] for one in self.processes for what in ("error", "critical") for line in one.logs_at(what)]


@contextmanager
def database(ground: Ground, name: str) -> Iterator[str]:
    """An empty database beside that of the ground."""
    with psycopg.connect(ground.database_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # pyright: ignore[reportCallIssue, reportArgumentType]  # no input
        try:
            yield with_database(ground.database_url, name)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # pyright: ignore[reportCallIssue, reportArgumentType]


@pytest.mark.timeout(400)  # two fleets, on a machine that may be busy
@pytest.mark.parametrize(("before", "revision"), PAIRS)
async def test_each_migration_runs_under_load(
    ground: Ground, tmp_path: Path, figures: Figures, many, before: str, revision: str
) -> None:
    (tmp_path / "open").touch()  # no tool waits
    posts = many(40, 2_000)
    with database(ground, f"migrated_to_{revision}") as url:
        migrate.upgrade(url, before)
        fleet = Deployment(ground, tmp_path, url, code_during(revision))
        try:
            ingress, *_ = await fleet.start("ingress", "steps", "dispatcher", "reconciler")
            enough = asyncio.Event()
            posting = [asyncio.create_task(fleet.post(ingress, enough)) for _ in range(SUBMITTERS)]
            await fleet.posted(10)
            started = time.monotonic()
            await fleet.posted(posts)
            migrating = time.monotonic()
            await asyncio.to_thread(migrate.upgrade, url, revision)
            migrated = time.monotonic()
            await fleet.posted(posts // 4)
            if migrate.serves(revision):  # the code that the migration was for takes over
                old = list(fleet.processes)
                newer, *_ = await fleet.start("ingress", "steps", "dispatcher", "reconciler", code=ROOT)
                more = asyncio.create_task(fleet.post(newer, enough))
                await fleet.posted(posts // 4)
                enough.set()
                await asyncio.gather(*posting, more)
                assert [await process.end() for process in old] == [0] * len(old)
                await fleet.start("steps")  # rolled back: the old code starts on the new schema, too
            enough.set()
            await asyncio.gather(*posting)
            await fleet.succeeded()
            invariants.check(url)
        finally:
            for process in fleet.processes:
                process.kill()
    errors = fleet.errors() + fleet.refused
    assert errors == []
    usual, meanwhile = fleet.seconds(started, migrating), fleet.seconds(migrating, migrated)
    figures.note(
        "F37",
        n=len(fleet.accepted),
        errors=len(errors),
        slowdown=quantile(meanwhile, 0.99) / quantile(usual, 0.99),
        submit_p99_s=quantile(usual, 0.99),
        during_p99_s=quantile(meanwhile, 0.99),
        during_n=len(meanwhile),
    )
