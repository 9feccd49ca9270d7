"""`agentfleet usage` over every tenant."""

import asyncio
import json

import pytest
from click.testing import CliRunner, Result

from agentfleet.api import schemas
from agentfleet.cli.main import main
from agentfleet.store.database import FLEET_ROLE, Database, DatabaseConfig
from tests.factories import execute, make_run, make_step


def call(database_url: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["usage", *arguments], env={"AGENTFLEET_DATABASE_URL": database_url})


@pytest.fixture
def used(database_url: str) -> str:
    """A database in which two tenants made a call each, one of which broke off; its URL."""

    async def make() -> None:
        db = Database(DatabaseConfig(database_url, FLEET_ROLE, "test", pool_size=1))
        await db.open()
        for tenant, outcome in (("acme", "succeed"), ("rival", "retry")):
            made = await make_step(db, run_id=await make_run(db, tenant=tenant), tenant=tenant)
            execute(database_url, "INSERT INTO attempts (step_id, fence, attempt, outcome, verdict, claimed_at, finished_at, usage,"
                    " cost_usd) VALUES (%s, 1, 1, %s, 'x', now(), now(), %s, 0.25)", made.step_id, outcome,
                    json.dumps({"input_tokens": 1_000, "output_tokens": 100}))  # fmt: skip
        await db.close()

    asyncio.run(make())
    return database_url


def test_it_shows_what_was_spent_and_why_some_of_it_was_wasted(used):
    shown = call(used, "--by", "tenant").stdout
    assert "acme" in shown
    assert "rival" in shown
    assert "half_stream" in shown
    assert "$0.5000" in shown


def test_one_tenants_usage_is_shown_alone(used):
    shown = call(used, "--by", "tenant", "--tenant", "acme").stdout
    assert "acme" in shown
    assert "rival" not in shown


def test_programs_get_the_document_of_the_api(used):
    found = schemas.UsageReport.model_validate_json(call(used, "--json").stdout)
    assert (found.total.cost_usd, found.total.wasted_usd, found.total.calls) == ("0.5", "0.25", 2)


@pytest.mark.parametrize("since", ["", "soon", "0d", "93d"])
def test_a_time_that_cannot_be_asked_for_says_what_can(database_url, since):
    result = call(database_url, "--since", since)
    assert result.exit_code == 2
    assert "7d, 36h or 1d12h" in result.stderr
