"""What a stack needs before its processes start: a port, a schema, a key."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from agentfleet.dev.child import free_port
from agentfleet.settings import Settings
from agentfleet.store import api_keys
from agentfleet.store.database import APP_ROLE, Database, DatabaseConfig

TENANT = "dev"


def choose_port(asked: int | None, usual: int) -> tuple[int, str | None]:
    """The ingress's port, and what to tell about it. The usual one makes way when taken; one asked for does not."""
    if asked is not None:
        return asked or free_port(), None
    try:
        with socket.create_server(("127.0.0.1", usual)):
            return usual, None
    except OSError:
        port = free_port()
        return port, f"Port {usual} is taken: the API listens on {port} (choose one with --port)."


def usable_key(settings: Settings, database_url: str, earlier: str | None) -> str:
    """A key of the tenant `dev`: the `earlier` one while the database knows it, or else a new one."""
    return asyncio.run(_usable_key(settings, database_url, earlier))


async def _usable_key(settings: Settings, database_url: str, earlier: str | None) -> str:
    async with _opened(settings, database_url) as db:
        if earlier and await api_keys.authenticate(db, earlier):
            return earlier
    return await new_key(settings, database_url, TENANT, "agentfleet dev")


async def new_key(settings: Settings, database_url: str, tenant_id: str, name: str) -> str:
    """Make an API key."""
    async with _opened(settings, database_url) as db:
        return await api_keys.create(db, tenant_id, name)


@asynccontextmanager
async def _opened(settings: Settings, database_url: str) -> AsyncGenerator[Database]:
    role = APP_ROLE if settings.set_role else None
    db = Database(DatabaseConfig(database_url, role, "agentfleet-dev", pool_size=1))
    try:
        await db.open()
        yield db
    finally:
        await db.close()
