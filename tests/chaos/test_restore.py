"""A restore to an earlier time, by the commands of docs/operations/restore.md."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agentfleet import bootstrap
from agentfleet.dev.embedded import servers
from agentfleet.dev.prepare import new_key
from agentfleet.settings import Settings
from agentfleet.simulator.serve import background
from agentfleet.store import migrate
from tests import invariants
from tests.acceptance import agents
from tests.acceptance.fleet import TENANT, Fleet, Ground, until
from tests.chaos.figures import Figures
from tests.zygote import ROOT

RUNBOOK = ROOT / "docs" / "operations" / "restore.md"
STEPS = dict(
    re.findall(r"<!-- step: (\w+) -->\n```sh\n(.*?)^```$", RUNBOOK.read_text("utf-8"), re.MULTILINE | re.DOTALL)
)
TIME = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
CLI = f'agentfleet() {{ {shlex.quote(sys.executable)} -m agentfleet.cli.main "$@"; }}\n'


class Runbook:
    """Executes the steps of the page, as whoever runs Postgres."""

    def __init__(self, ground: Ground) -> None:
        data = ground.postgres.directory
        self._owner, self.directory = data.stat(), data.parent / "operator"
        (self.directory / "archive").mkdir(parents=True)
        for ours in (data.parent, self.directory, self.directory / "archive"):
            os.chown(ours, self._owner.st_uid, self._owner.st_gid)
        programs = Path(f"/proc/{ground.postgres.pid}/exe").resolve().parent
        self.variables = {
            "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "DATABASE_URL": ground.database_url,
            "ARCHIVE": str(self.directory / "archive"),
            "BACKUP": str(self.directory / "backup"),
            "DATA": str(data),
        }

    def __call__(self, step: str, *, operator: bool = False, **variables: str) -> None:
        """Run the commands of a step; ``operator``: as ourselves, who may read the logs and call the API."""
        us = operator or os.geteuid() != 0
        who = {} if us else {"user": self._owner.st_uid, "group": self._owner.st_gid, "extra_groups": []}
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", CLI + STEPS[step]],
            cwd=self.directory,
            env={**self.variables, **variables},
            capture_output=True,
            text=True,
            check=False,
            **who,
        )
        assert done.returncode == 0, f"{step}: {done.stdout}{done.stderr}"


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """Servers that are taken back in time; no duties yet."""
    with servers(Path(), ephemeral=True) as urls, background() as simulator:
        migrate.upgrade(urls.database_url)
        made = Ground(urls, simulator, tmp_path)
        yield made
        made.stop()


@pytest.fixture
def runbook(ground: Ground) -> Runbook:
    """There is a backup, and an archive."""
    made = Runbook(ground)
    made("archive")
    ground.postgres.stop()
    ground.postgres.revive()
    made("backup")
    return made


@pytest.fixture
async def fleet(ground: Ground, runbook: Runbook, tmp_path: Path) -> AsyncIterator[Fleet]:
    """On that ground, with its duties."""
    ground.start_duties()
    settings = Settings(database_url=ground.database_url, redis_url=ground.redis_url)
    async with bootstrap.ingress(settings) as ingress:
        made = Fleet(ground, ingress, tmp_path)
        try:
            yield made
        finally:
            made.close()


@pytest.mark.timeout(400)  # three starts of Postgres, on a machine that may be busy
async def test_a_restore_converges(fleet: Fleet, runbook: Runbook, figures: Figures, many, tmp_path: Path) -> None:
    count, ground = many(1, 30), fleet.ground
    key = await new_key(Settings(), ground.database_url, TENANT, "operator")
    worker = await fleet.worker(lease=15)  # outlasts the pause below
    ended = await fleet.submit(agents.notes, count)
    await fleet.finished(ended)
    holding, charging = await fleet.submit(agents.holder, count), await fleet.submit(agents.charger, count)
    await fleet.called("hold", count)
    await fleet.called("charge", count)
    worker.send(signal.SIGSTOP)
    noting, paying = await fleet.submit(agents.notes, count), await fleet.submit(agents.charger, count)
    chatting = await fleet.submit(agents.chat, count)
    [[point]] = fleet.query(TIME)

    late = await fleet.submit(agents.chat, count)
    worker.send(signal.SIGCONT)
    fleet.open()
    await fleet.finished([*holding, *charging, *noting, *paying, *chatting, *late])
    assert await worker.end() == 0
    stale = await fleet.submit(agents.chat, count)  # their messages stay in Redis
    runbook("switch")
    for duty in ground.duties:
        assert await duty.end() == 0
    ground.postgres.stop()

    with figures.timed():
        runbook("restore", POINT=point.replace("Z", "+00"))
        ground.postgres.revive()
        (runbook.directory / "effect-keys.txt").write_text(
            "".join(f"{key}\n" for tool in ("note_a", "hold") for _, key, *_ in fleet.calls(tool))
        )
        runbook("calls", operator=True, SINCE=point, LOGS=f"{tmp_path}/workers.steps-*.err")
        runbook("keys", operator=True)
        runbook("review", operator=True)
        review = (runbook.directory / "review.txt").read_text().split()
        ingress = await ground.start("workers.ingress", port=0).ready()
        assert ingress.announced is not None
        runbook(
            "cancel", operator=True, AGENTFLEET_API_URL=ingress.announced["url"], AGENTFLEET_API_KEY=key,
            PYTHONPATH=str(ROOT),
        )  # fmt: skip
        ground.start_duties()
        await fleet.worker()
        await fleet.finished([*ended, *holding, *chatting])
        await until(lambda: set(fleet.states(charging)) == {"needs_review"}, "the unsafe calls under way need review")

    assert sorted(review) == sorted([*noting, *paying]), "what was called by steps that nobody remembers"
    assert set(fleet.states(review)) == {"cancelled"}
    assert fleet.states([*late, *stale]) == [], "accepted after the point: gone, as the page says"
    doubled = effects_beyond_one(fleet)
    assert doubled == 0
    assert len(fleet.calls("hold")) == 2 * count, "made again, under the key that the other side knows"
    assert len(fleet.calls("charge")) == 2 * count, "never made again"
    invariants.check(ground.database_url)
    figures.note("F47", n=6 * count, doubled=doubled, lost=0)


def effects_beyond_one(fleet: Fleet) -> int:
    """How often something happened again in the eyes of a receiver who knows keys: each run calls each tool once."""
    keys: dict[tuple[str, str], set[str]] = defaultdict(set)
    for tool in ("note_a", "hold"):
        for run_id, effect_key, *_ in fleet.calls(tool):
            keys[run_id, tool].add(effect_key)
    return sum(len(found) - 1 for found in keys.values())
