"""`agentfleet capacity expect`: announce events, see them, take them back."""

import pytest
from click.testing import CliRunner

from agentfleet.cli.main import main
from tests.factories import execute


@pytest.fixture
def call(database_url: str):
    def run(*arguments: str):
        env = {"AGENTFLEET_DATABASE_URL": database_url, "COLUMNS": "200"}
        return CliRunner().invoke(main, ["capacity", "expect", *arguments], env=env)

    return run


def test_an_event_is_announced_listed_and_taken_back(call, database_url):
    done = call("--at", "2100-12-01T09:00Z", "--for", "2h", "--factor", "10", "--note", "the sale")
    assert done.exit_code == 0, done.output
    assert "2100-12-01 09:00 UTC, 10 times the usual work for 2 h." in done.output
    assert call("--cron", "0 9 * * 1-5", "--for", "90m", "--factor", "2.5", "--pool", "gpu").exit_code == 0
    [_, once, again] = call("list").output.splitlines()
    assert once.split()[1:] == ["2100-12-01", "09:00", "UTC", "2", "10", "all", "the", "sale"]
    assert again.split()[4:] == ["1.5", "2.5", "gpu", "0", "9", "*", "*", "1-5", "(UTC)"]
    assert call("remove", once.split()[0]).exit_code == 0
    assert execute(database_url, "SELECT pool, factor FROM expectations") == [("gpu", 2.5)]
    assert "There is no expectation" in call("remove", once.split()[0]).output


def test_what_is_missing_or_cannot_be_is_said(call, database_url):
    for arguments, told in [
        (["--for", "2h", "--factor", "2"], "Say when and how much"),
        (["--at", "tomorrow", "--for", "2h", "--factor", "2"], "is no time such as 2026-12-01T09:00Z"),
        (["--at", "2100-01-01T09:00", "--for", "2h", "--factor", "2"], "must say its time zone"),
        (["--at", "2100-01-01T09:00Z", "--for", "soon", "--factor", "2"], "is no duration such as 2h"),
        (["--cron", "0 25 * * *", "--for", "2h", "--factor", "2"], "--cron hour '25'"),
        (["--cron", "0 9 * * *", "--tz", "Mars", "--for", "2h", "--factor", "2"], "there is no time zone"),
    ]:
        refused = call(*arguments)
        assert refused.exit_code == 2
        assert told in refused.output
    assert execute(database_url, "SELECT count(*) FROM expectations") == [(0,)]
