"""What a lost connection costs."""

import psycopg
import pytest

from agentfleet.store import statements
from agentfleet.store.database import LOST_CONNECTION, Database


async def test_when_the_server_drops_everyone_one_statement_fails_and_the_rest_go_on(
    db: Database, database_url: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as admin:
        dropped = admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test-fleet'"
        )
        assert dropped.rowcount == 4
    with pytest.raises(LOST_CONNECTION):
        await db.fetch(statements.COUNT_STEPS, {})
    for _ in range(8):
        assert await db.fetch(statements.COUNT_STEPS, {}) == []
