"""What `agentfleet doctor` asks a database, as the user of its URL and without taking part in anything."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import Connection, create_engine, func, pool, select, text

from agentfleet.domain.states import STEP_FINAL, StepState
from agentfleet.store.database import APP_ROLE, FLEET_ROLE, sqlalchemy_url
from agentfleet.store.migrate import needed
from agentfleet.store.pooler import shares_sessions
from agentfleet.store.tables import dead_letters, steps

OLDEST_VERSION = 15
AGE = func.coalesce(func.extract("epoch", func.agentfleet_now() - func.min(steps.c.ready_at)), 0)


@dataclass(frozen=True, slots=True)
class Queue:
    """Open steps of a pool in a state; ``oldest`` is for how many seconds the oldest has been ready."""

    pool: str
    state: str
    steps: int
    oldest: float


@dataclass(frozen=True, slots=True)
class Load:
    """What waits, and for whom."""

    queues: tuple[Queue, ...] = ()
    open_dead_letters: int = 0
    expired_leases: int = 0


@dataclass(frozen=True, slots=True)
class Way:
    """``shared``: a pooler gives sessions to others between transactions. ``same``: the direct URL leads to the same
    database; ``None`` when there is none, or it needs none.
    """

    host: str
    encrypted: bool
    verified: bool
    pooled: bool
    shared: bool
    same: bool | None = None


@dataclass(frozen=True, slots=True)
class Checkup:
    """What was found. ``roles``: whether the URL's user may become each. ``way``: how it is reached."""

    version: int
    now: datetime
    revision: str | None
    needed: str
    roles: Mapping[str, bool]
    load: Load
    way: Way


def check_up(url: str, direct_url: str | None = None) -> Checkup:
    """Look; raises one of ``database.UNAVAILABLE`` when it cannot be reached."""
    arguments = {"connect_timeout": 5, "prepare_threshold": None}
    engine = create_engine(sqlalchemy_url(url), poolclass=pool.NullPool, connect_args=arguments)
    with engine.connect() as connection:
        revision = _revision(connection)
        roles = {role: _may_become(connection, role) for role in (APP_ROLE, FLEET_ROLE)}
        return Checkup(
            version=int(connection.execute(text("SHOW server_version_num")).scalar_one()) // 10_000,
            now=connection.execute(text("SELECT clock_timestamp()")).scalar_one(),
            revision=revision,
            needed=needed(),
            roles=roles,
            load=_load(connection) if revision and roles[FLEET_ROLE] else Load(),
            way=_way(url, direct_url),
        )


def _way(url: str, direct_url: str | None) -> Way:
    with psycopg.connect(url, autocommit=True, prepare_threshold=None, connect_timeout=5) as connection:
        here, session = _identity(connection)
        told = connection.info.get_parameters()
        way = Way(
            host=connection.info.host,
            encrypted=connection.pgconn.ssl_in_use,
            verified=told.get("sslmode", "").startswith("verify-"),
            pooled=session != connection.info.backend_pid,
            shared=shares_sessions(url),
        )
    if direct_url is None:
        return way
    with psycopg.connect(direct_url, autocommit=True, connect_timeout=5) as connection:
        return replace(way, same=_identity(connection)[0] == here)


def _identity(connection: psycopg.Connection) -> tuple[tuple[Any, Any], int]:
    """Of the database: since when its server runs, and its number there. And the session's process."""
    row = connection.execute(
        "SELECT pg_postmaster_start_time(), oid, pg_backend_pid() FROM pg_database WHERE datname = current_database()"
    ).fetchone()
    assert row is not None  # noqa: S101  # there is a current database
    return (row[0], row[1]), row[2]


def _revision(connection: Connection) -> str | None:
    if connection.execute(text("SELECT to_regclass('alembic_version') IS NULL")).scalar_one():
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _may_become(connection: Connection, role: str) -> bool:
    query = text("SELECT coalesce((SELECT pg_has_role(oid, 'MEMBER') FROM pg_roles WHERE rolname = :role), false)")
    return bool(connection.execute(query, {"role": role}).scalar_one())


def _load(connection: Connection) -> Load:
    connection.execute(text(f"SET LOCAL ROLE {FLEET_ROLE}"))  # row-level security hides every row from the owner
    state, now = steps.c.state, func.agentfleet_now()
    queues = (
        select(steps.c.pool, state, func.count(), AGE)
        .where(state.not_in([final.value for final in STEP_FINAL] + [StepState.DEAD.value]))
        .group_by(steps.c.pool, state)
        .order_by(steps.c.pool, state)
    )
    expired = select(func.count()).where(state == StepState.RUNNING, steps.c.lease_until < now)
    letters = select(func.count()).where(dead_letters.c.state == "open")
    return Load(
        tuple(Queue(pool, name, number, float(oldest)) for pool, name, number, oldest in connection.execute(queues)),
        connection.execute(letters).scalar_one(),
        connection.execute(expired).scalar_one(),
    )
