"""Whoever dies while pruning loses nothing: every run ever accepted is in the database or in the archive, as a whole."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Iterator

import pytest

from agentfleet import failpoints
from agentfleet.archive import S3Archive
from agentfleet.domain.errors import ArchiveFailed
from agentfleet.domain.retention import Keep
from agentfleet.engine.archive import Archivist, unpack
from agentfleet.engine.prune import RunPruner
from agentfleet.store.database import UNAVAILABLE, Database
from tests.factories import execute
from tests.retention.conftest import DAY, archived, ended

KEEP = Keep(runs=30 * DAY, details=7 * DAY)
SEEDS = range(7, 27) if os.environ.get("AGENTFLEET_CHAOS") == "nightly" else [7]
POINTS = ("due_runs", "export_runs", "archive", "forget_runs", "strip_runs", "raise_alert")


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm(None)


async def check(database_url: str, archive: S3Archive, all_runs: dict[str, int]) -> set[str]:
    """Fail unless each run, known by its number of steps, is whole in one of the two; those that are deleted."""
    there = dict(execute(database_url, "SELECT id::text, archived_to FROM runs"))
    places = dict(execute(database_url, "SELECT id::text, archived_to FROM run_tombstones"))
    places |= {run_id: place for run_id, place in there.items() if place is not None}
    steps = dict(execute(database_url, "SELECT run_id::text, count(*) FROM steps GROUP BY 1"))
    assert all_runs.keys() == there.keys() | places.keys(), "a run is neither here nor there"
    for run_id, count in all_runs.items():
        if run_id in places:  # deleted, or its details are
            key = archive.place.key(places[run_id])
            found = {one["run"]["id"]: len(one["steps"]) for one, _ in unpack(key, await archive.get(key))}
            assert found[run_id] == count, run_id
        else:
            assert steps.get(run_id, 0) == count, f"{run_id} is only half here"
    return all_runs.keys() - there.keys()


@pytest.mark.parametrize("seed", SEEDS)
async def test_no_run_is_ever_lost_however_pruning_is_cut_off(db: Database, archive, database_url, seed) -> None:
    dice = random.Random(seed)
    runs: dict[str, int] = {}
    for _ in range(14):
        steps, tenant = dice.randrange(4), dice.choice(("acme", "rival"))
        parent = dice.choice([None, None, *runs])
        runs[await ended(db, dice.uniform(0, 60), steps=steps, tenant=tenant, parent_run_id=parent)] = steps
    for _ in range(8):
        specs = [f"{dice.choice(POINTS)}.{dice.choice(('before', 'after'))}:raise" for _ in range(dice.randrange(3))]
        failpoints.arm(",".join(specs))
        pruners = [RunPruner(db, KEEP, Archivist(db, archive)) for _ in range(2)]
        outcomes = await asyncio.gather(*(one.run_once() for one in pruners), return_exceptions=True)
        unexpected = [one for one in outcomes if not isinstance(one, (int, ArchiveFailed, *UNAVAILABLE))]
        assert unexpected == [], f"seed {seed}"
        await check(database_url, archive, runs)
    failpoints.arm(None)
    last = RunPruner(db, KEEP, Archivist(db, archive))
    while await last.run_once():
        pass
    gone = await check(database_url, archive, runs)
    assert gone, "nothing was put to the test"


async def test_a_reconciler_that_is_killed_between_archive_and_delete_loses_nothing(
    db, redis_url, s3_url, archive, database_url
) -> None:
    runs = {await ended(db, 31): 2 for _ in range(3)}
    execute(database_url, "UPDATE runs SET steps_total = 1500")  # each is a portion of its own
    environment = {
        **os.environ, "AGENTFLEET_DATABASE_URL": database_url, "AGENTFLEET_REDIS_URL": redis_url,
        "AGENTFLEET_KEEP_RUNS": "30d", "AGENTFLEET_ARCHIVE": archive.name, "AGENTFLEET_ARCHIVE_ENDPOINT_URL": s3_url,
        "AGENTFLEET_ARCHIVE_REGION": "us-east-1", "AGENTFLEET_ARCHIVE_PATH_STYLE": "true",
        "AGENTFLEET_FAILPOINT": "forget_runs.before:kill@2",
    }  # fmt: skip
    command = sys.executable, "-m", "workers.reconciler"
    reconciler = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.DEVNULL)
    assert await reconciler.wait() == -signal.SIGKILL
    assert len(await check(database_url, archive, runs)) == 1
    assert len(await archived(archive)) == 2  # one is here and there
    heir = RunPruner(db, Keep(runs=30 * DAY), Archivist(db, archive))
    assert [await heir.run_once() for _ in range(3)] == [1, 1, 0]
    assert await check(database_url, archive, runs) == set(runs)
    assert len(await archive.keys("")) == 3  # the same run made the same object
