"""`agentfleet retention`, `tenants set --keep-...` and what `doctor` says of the archive."""

import asyncio
import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agentfleet.cli.checks.archive import check_archive
from agentfleet.cli.main import main
from agentfleet.domain.retention import Keep
from agentfleet.settings import Settings
from agentfleet.store import retention
from tests.factories import execute
from tests.retention.conftest import DAY, ended


@pytest.fixture
def environment(database_url, archive, s3_url) -> dict[str, str]:
    return {
        "AGENTFLEET_DATABASE_URL": database_url, "COLUMNS": "200", "AGENTFLEET_ARCHIVE": archive.name,
        "AGENTFLEET_ARCHIVE_ENDPOINT_URL": s3_url, "AGENTFLEET_ARCHIVE_REGION": "us-east-1",
        "AGENTFLEET_ARCHIVE_PATH_STYLE": "true", "AGENTFLEET_KEEP_RUNS": "30d", "AGENTFLEET_KEEP_DETAILS": "7d",
    }  # fmt: skip


@pytest.fixture
def call(environment):
    async def run(*arguments: str, **more: str) -> Result:
        """In a thread: a command has an event loop of its own."""
        return await asyncio.to_thread(CliRunner().invoke, main, arguments, env={**environment, **more})

    return run


async def test_what_is_due_is_told_then_deleted_and_can_be_read_again(db, call, database_url) -> None:
    old, middle = await ended(db, 31), await ended(db, 8)
    await ended(db, 1, tenant="rival")
    status = (await call("retention", "status")).output.splitlines()
    assert status[1].split() == ["acme", "30d", "30d", "7d", "1", "1"]
    assert status[2].split() == ["rival", "30d", "30d", "7d", "0", "0"]
    dry = await call("retention", "run")
    assert dry.output == "1 runs are due to be deleted, and the details of 1 others. Add --go to do it.\n"
    assert execute(database_url, "SELECT count(*) FROM runs") == [(3,)]
    done = await call("retention", "run", "--go")
    assert (done.exit_code, done.stdout) == (0, "2 runs or their details were archived and deleted.\n")
    for run_id in (old, middle):
        document = json.loads((await call("retention", "read", run_id)).stdout)
        assert (document["run"]["id"], len(document["steps"])) == (run_id, 2)
    execute(database_url, "DELETE FROM run_tombstones")
    refused = await call("retention", "read", old)
    assert (refused.exit_code, "--tenant" in refused.output) == (2, True)
    assert json.loads((await call("retention", "read", old, "--tenant", "acme")).stdout)["run"]["id"] == old
    assert (await call("retention", "read", old, "--tenant", "rival")).exit_code == 1


async def test_a_failing_archive_ends_the_command_with_its_words(db, call) -> None:
    await ended(db, 31)
    failed = await call("retention", "run", "--go", AGENTFLEET_ARCHIVE="s3://no-such-bucket")
    assert failed.exit_code == 1
    assert "0 runs" in failed.stdout
    assert "NoSuchBucket" in failed.output


async def test_terms_of_a_tenant_are_set_and_taken_back(db, call) -> None:
    deployment = Keep(runs=30 * DAY)
    for arguments, expected in (
        (["--keep-runs", "90d", "--keep-details", "36h"], Keep(runs=90 * DAY, details=1.5 * DAY)),
        (["--keep-failed-runs", "forever"], Keep(90 * DAY, float("inf"), 1.5 * DAY)),
        (["--keep-runs", "default", "--keep-failed-runs", "default", "--keep-details", "default"], deployment),
    ):
        done = await call("tenants", "set", "acme", *arguments)
        assert (done.exit_code, done.output[:11]) == (0, "acme is set")
        assert await retention.keep_of(db, "acme", deployment) == expected


@pytest.mark.parametrize("value", ["0", "23h", "soon", "-1d", "99999999d"])
async def test_terms_that_make_no_sense_are_refused(call, value) -> None:
    refused = await call("tenants", "set", "acme", "--keep-runs", value)
    assert refused.exit_code == 2
    assert repr(value) in refused.output


def test_doctor_tries_the_archive(archive, environment) -> None:
    def finding(**changes: Any):
        names = {
            name.removeprefix("AGENTFLEET_").lower(): value for name, value in environment.items() if name != "COLUMNS"
        }
        return next(check_archive(Settings(**{**names, **changes})))

    assert (finding().level, archive.name in finding().says) == ("ok", True)
    missing = finding(archive="s3://no-such-bucket")
    assert (missing.level, "404" in missing.says) == ("fail", True)
    assert "for good" in finding(archive=None).says
    assert "for ever" in finding(archive=None, keep_runs="forever", keep_details="forever").says
