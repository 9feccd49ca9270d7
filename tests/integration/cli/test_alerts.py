"""`agentfleet alerts` reads and resolves what the fleet has raised."""

import asyncio

import pytest
from click.testing import CliRunner, Result

from agentfleet.cli.main import main
from agentfleet.domain.alerts import AlertKind
from agentfleet.store import alerts
from agentfleet.store.database import FLEET_ROLE, Database, DatabaseConfig


def call(database_url: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["alerts", *arguments], env={"AGENTFLEET_DATABASE_URL": database_url})


@pytest.fixture
def parked(database_url: str) -> str:
    """A database in which one alert is open; its URL."""

    async def open_one() -> None:
        db = Database(DatabaseConfig(database_url, FLEET_ROLE, "test", pool_size=1))
        await db.open()
        await alerts.raise_alert(db, AlertKind.ACCOUNT_PARKED, "main", "The account main is parked.", {})
        await db.close()

    asyncio.run(open_one())
    return database_url


def test_open_alerts_are_listed_and_resolved_ones_on_request(parked):
    assert "The account main is parked." in call(parked, "list").stdout
    assert call(parked, "resolve", "account_parked", "main").stdout == "account_parked of main is resolved.\n"
    assert "main" not in call(parked, "list").stdout
    assert "resolved" in call(parked, "list", "--all").stdout


@pytest.mark.parametrize(
    ("kind", "subject", "says"),
    [
        ("account_parked", "other", "No alert account_parked of other is open"),
        ("fire", "main", "none of account_parked"),
    ],
)
def test_what_cannot_be_resolved_says_why(parked, kind, subject, says):
    result = call(parked, "resolve", kind, subject)
    assert result.exit_code != 0
    assert says in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ALERT_WEBHOOK_URL", "ftp://hunter2@host", "must be an https://"),
        ("ALERT_WEBHOOK_URL", "https://", "must be an https://"),
        ("ALERT_WEBHOOK_URL", "http://[hunter2", "must be an https://"),
        ("ALERT_WEBHOOK_URL", "http://hunter2:99999/x", "must be an https://"),
        ("ALERT_WEBHOOK_SECRET", "hunter2", "openssl"),
    ],
)
def test_a_webhook_setting_that_cannot_work_is_told_without_its_value(name, value, says):
    result = CliRunner().invoke(main, ["alerts", "list"], env={f"AGENTFLEET_{name}": value})
    assert says in result.stderr
    assert f"AGENTFLEET_{name}" in result.stderr
    assert "hunter2" not in result.output
