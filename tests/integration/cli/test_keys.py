"""`agentfleet keys`: made, listed and revoked in the database."""

import asyncio
from uuid import uuid4

import pytest
from click.testing import CliRunner

from agentfleet.cli.main import main
from agentfleet.store import api_keys
from agentfleet.store.database import APP_ROLE, Database, DatabaseConfig
from tests.factories import execute


@pytest.fixture
def call(database_url: str):
    def run(*arguments: str):
        env = {"AGENTFLEET_DATABASE_URL": database_url, "COLUMNS": "200"}
        return CliRunner().invoke(main, ["keys", *arguments], env=env)

    return run


def made(call, tenant: str) -> str:
    return call("create", "--tenant", tenant, "--name", "a producer").output.strip()


def tenant_of(database_url: str, key: str) -> str | None:
    async def ask() -> str | None:
        db = Database(DatabaseConfig(database_url, APP_ROLE, "test", pool_size=1))
        await db.open()
        who = await api_keys.authenticate(db, key)
        await db.close()
        return who and who.tenant_id

    return asyncio.run(ask())


def test_a_revoked_key_is_refused_and_the_others_are_not(call, database_url):
    leaked, other = made(call, "acme"), made(call, "acme")
    key_id = execute(database_url, "SELECT id::text FROM api_keys ORDER BY id")[0][0]
    done = call("revoke", key_id)
    assert (done.exit_code, done.output) == (0, "1 key is refused from now on.\n")
    assert [tenant_of(database_url, key) for key in (leaked, other)] == [None, "acme"]


def test_all_keys_of_a_tenant_are_revoked_at_once(call, database_url):
    keys = [made(call, tenant) for tenant in ("acme", "acme", "rival")]
    assert call("revoke", "--tenant", "acme").output == "2 keys are refused from now on.\n"
    assert [tenant_of(database_url, key) for key in keys] == [None, None, "rival"]


def test_the_list_shows_who_has_which_key_and_no_key(call, database_url):
    key = made(call, "acme")
    call("revoke", "--tenant", "acme")
    valid = made(call, "rival")
    output = call("list").output
    [_, first, second] = output.splitlines()
    assert ("acme" in first, "a producer" in first) == (True, True)
    assert len(first.split()) == len(second.split()) + 2, "the first says when it was revoked"
    assert key not in output
    assert valid not in output


def test_a_key_that_is_unknown_or_revoked_is_an_error(call):
    refused = call("revoke", str(uuid4()))
    assert (refused.exit_code, "agentfleet keys list" in refused.output) == (1, True)
    assert "not a valid UUID" in call("revoke", "af_abc").output
    assert "Give the IDs" in call("revoke").output


def test_a_key_of_nobody_is_not_made(call):
    result = call("create", "--tenant", "", "--name", "a variable that was not set")
    assert result.exit_code == 2
    assert "--tenant" in result.output
