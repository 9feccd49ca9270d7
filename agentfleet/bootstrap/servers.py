"""The servers that every process needs: the database and Redis."""

from contextlib import AsyncExitStack, suppress

from redis.asyncio import Redis

from agentfleet import failpoints
from agentfleet.agents.registry import Registry
from agentfleet.bootstrap.provider import check_accounts
from agentfleet.bootstrap.retention import archive
from agentfleet.bootstrap.scale import scale_policies
from agentfleet.broker.clients import client, require_trust
from agentfleet.broker.eviction import refuse_eviction
from agentfleet.broker.place import read_place
from agentfleet.domain.errors import InvalidInput
from agentfleet.provider.caps import read_caps
from agentfleet.settings import Settings
from agentfleet.store import health, trust
from agentfleet.store.database import FLEET_ROLE, UNAVAILABLE, Database, DatabaseConfig
from agentfleet.store.leadership import WHY
from agentfleet.store.pooler import require_sessions
from agentfleet.telemetry import tracing


def check(settings: Settings, *, agents: bool = False, provider: bool = False, leads: bool = False) -> None:
    """Raise ``InvalidInput`` for what a process cannot start with; ``agents``, ``provider``: it needs them, too;
    ``leads``: it needs a session of its own. A server that is away is no reason: it may come.

    To be asked first: once logs are configured and frameworks run, an error is told as a traceback.
    """
    failpoints.read(settings.failpoint)
    for name, value in {"DATABASE": settings.database_url, "REDIS": settings.redis_url}.items():
        if value is None:
            raise InvalidInput(f"AGENTFLEET_{name}_URL", "is not set: give a URL, or use `agentfleet dev`")
    require_trust(read_place(settings))
    trust.require_trust(settings.database_url or "")
    if leads:
        with suppress(*UNAVAILABLE):
            require_sessions(settings.database_direct_url or settings.database_url or "", WHY)
    read_caps(settings.provider_limits)
    scale_policies(settings)
    archive(settings)
    if settings.tracing != "off":
        tracing.require()
    if provider:
        check_accounts(settings)
    if agents:
        Registry.load(settings.agents)


def database(settings: Settings, role: str, process: str) -> Database:
    """The database of one process; raises ``InvalidInput`` when no URL is set."""
    if settings.database_url is None:
        raise InvalidInput(
            "AGENTFLEET_DATABASE_URL", "is not set: give a Postgres URL, or use `agentfleet dev`, which embeds one"
        )
    return Database(
        DatabaseConfig(
            settings.database_url,
            role if settings.set_role else None,
            f"agentfleet-{process}",
            settings.pool_size,
            settings.statement_timeout,
            direct_url=settings.database_direct_url,
            pooler_prepares=settings.pooler_prepares,
        )
    )


def redis_client(settings: Settings) -> Redis:
    """A client that waits for a free connection instead of failing, and never waits for ever on a dead server."""
    return client(read_place(settings), connections=64, patience=10)


async def servers(stack: AsyncExitStack, settings: Settings, role: str, process: str) -> tuple[Database, Redis]:
    """Both, connected; ``stack`` closes them. ``process`` names it to the database."""
    failpoints.arm(settings.failpoint)
    db = database(settings, role, process)
    stack.push_async_callback(db.close)
    await db.open()
    if role == FLEET_ROLE:  # the ingress says in /readyz that it cannot serve, and serves as soon as it can
        await health.require_schema(db)
    redis = redis_client(settings)
    stack.push_async_callback(redis.aclose)
    await refuse_eviction(redis)
    return db, redis
