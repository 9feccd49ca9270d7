"""Who leads a duty: a session-level advisory lock, so leadership ends with the connection, however that ends. The
server ends it itself when a leader does not ask for a while: a stopped process keeps its connections.

Two leaders at once would do no harm (every duty's statements move each row once); leading only saves work.
"""

import asyncio
import hashlib
from dataclasses import replace

import psycopg

from agentfleet.domain.errors import InvalidInput
from agentfleet.store.connection import Connection
from agentfleet.store.database import DatabaseConfig
from agentfleet.store.pooler import require_sessions

STATEMENT_TIMEOUT = 2.0
"""Seconds; who cannot ask whether it leads does not lead."""
WHY = "a leader's lock belongs to a session"
LEAST_SILENCE = 5.0
"""Seconds without a question after which a leader counts as silent, at least: it may have been busy."""


class Leadership:
    """One duty's lock. ``held`` is to be asked every ``asked_every`` seconds; three times without, and it is lost."""

    def __init__(self, config: DatabaseConfig, duty: str, *, asked_every: float) -> None:
        name = f"{config.application_name}-leader"
        self._url = config.direct_url or config.url
        self._config = replace(config, application_name=name, statement_timeout=STATEMENT_TIMEOUT)
        self._key = int.from_bytes(hashlib.sha256(f"agentfleet:{duty}".encode()).digest()[:8], "big", signed=True)
        self._silence = max(LEAST_SILENCE, 3 * asked_every)
        self._connection: Connection | None = None

    async def held(self) -> bool:
        """Whether this process leads; takes the lock when it is free. Never raises for a lost connection.

        Raises ``InvalidInput`` behind a pooler in transaction mode.
        """
        try:
            if self._connection is None or self._connection.closed:
                self._connection = await Connection.connect(self._url, **self._config.arguments(), autocommit=True)
                if self._connection.pooled:
                    await asyncio.to_thread(require_sessions, self._url, WHY)
                cursor = await self._connection.execute(
                    "SELECT pg_try_advisory_lock(%s), set_config('idle_session_timeout', %s, false)",
                    (self._key, f"{int(self._silence * 1000)}"),
                )
            else:
                cursor = await self._connection.execute(  # re-entrant: a lock that is held is counted, so look first
                    "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
                    " AND granted) OR pg_try_advisory_lock(%s)",
                    (self._key,),
                )
            row = await cursor.fetchone()
        except psycopg.Error:
            await self.release()
            return False
        except InvalidInput:
            await self.release()
            raise
        return bool(row and row[0])

    async def release(self) -> None:
        """Give the lock up."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
