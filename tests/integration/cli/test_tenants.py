"""`agentfleet tenants`: what a tenant may spend in a day, and its share."""

from decimal import Decimal

import pytest
from click.testing import CliRunner

from agentfleet.cli.main import main
from tests.factories import execute


@pytest.fixture
def call(database_url: str):
    def run(*arguments: str):
        env = {"AGENTFLEET_DATABASE_URL": database_url, "COLUMNS": "200"}
        return CliRunner().invoke(main, ["tenants", *arguments], env=env)

    return run


def row(database_url):
    [(weight, cap)] = execute(database_url, "SELECT weight, daily_budget::json ->> 'max_cost_usd' FROM tenants")
    return weight, cap


def test_a_new_tenant_is_made_with_its_cap_and_its_weight(call, database_url):
    done = call("set", "acme", "--max-cost-usd-per-day", "12.50", "--max-tokens-per-day", "1000", "--weight", "2")
    assert (done.exit_code, "acme is set" in done.output) == (0, True)
    assert row(database_url) == (Decimal(2), "12.50")
    caps = "SELECT max_cost_usd, max_tokens, max_steps FROM budgets"
    assert execute(database_url, caps) == [(Decimal("12.5"), 1000, None)]
    [_, listed] = call("list").output.splitlines()
    assert listed.split() == ["acme", "2", "0", "0", "0", "of", "1000", "0", "of", "12.5"]


def test_what_is_not_given_stays_and_none_lifts_a_cap(call, database_url):
    call("set", "acme", "--max-cost-usd-per-day", "12.50", "--weight", "2")
    call("set", "acme", "--weight", "3")
    assert row(database_url) == (Decimal(3), "12.50")
    call("set", "acme", "--max-cost-usd-per-day", "none")
    assert row(database_url) == (Decimal(3), None)


@pytest.mark.parametrize("value", ["0", "-1", "nan", "ten", "1e9"])
def test_a_cap_that_makes_no_sense_is_refused(call, database_url, value):
    refused = call("set", "acme", "--max-cost-usd-per-day", value)
    assert (refused.exit_code, "neither 'none' nor more than 0" in refused.output) == (2, True)
    assert execute(database_url, "SELECT count(*) FROM tenants") == [(0,)]


def test_nothing_to_set_is_said(call):
    assert "Nothing to set" in call("set", "acme").output
