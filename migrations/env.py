"""Alembic's entry: migrates the database of ``AGENTFLEET_DATABASE_URL``, or the connection that is passed in."""

import time

from alembic import context
from sqlalchemy import Connection, create_engine, pool

from agentfleet.settings import Settings
from agentfleet.store.database import sqlalchemy_url
from agentfleet.store.tables import metadata

LOCK = 0x616765666C656574
"""Advisory lock: two migration jobs at once wait for each other instead of racing."""
LOOK_EVERY = 0.2
"""Seconds between two looks at the lock: a transaction that waited for it would hold up CREATE INDEX CONCURRENTLY."""
LOCK_TIMEOUT = "500ms"
"""While a migration waits for a table, everybody else waits behind it. Shorter than deadlock_timeout (1 s): should it and
a statement of the fleet wait for each other, the migration is the one that gives way; ``store.migrate`` tries it again.
"""


def migrate(connection: Connection) -> None:
    while not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({LOCK})").scalar_one():
        connection.commit()
        time.sleep(LOOK_EVERY)
    connection.exec_driver_sql(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
    connection.commit()
    try:
        context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
    finally:
        connection.exec_driver_sql("RESET lock_timeout")
        connection.exec_driver_sql(f"SELECT pg_advisory_unlock({LOCK})")
        connection.commit()


passed = context.config.attributes.get("connection")
if passed is not None:
    migrate(passed)
else:
    settings = Settings()
    url = settings.database_direct_url or settings.database_url
    if url is None:
        raise SystemExit("AGENTFLEET_DATABASE_URL is not set: which database should be migrated?")
    with create_engine(sqlalchemy_url(url), poolclass=pool.NullPool).connect() as connection:
        migrate(connection)
