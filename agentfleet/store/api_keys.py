"""API keys: who is asking. A key is shown once; only its SHA-256 is stored."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from agentfleet.store import statements
from agentfleet.store.database import Database
from agentfleet.store.ids import new_id
from agentfleet.store.schema import NOW
from agentfleet.store.tables import api_keys, tenants

PREFIX = "af_"
"""Marks our keys, so that secret scanners and people recognise one that has leaked."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking: the key and the tenant it speaks for."""

    key_id: str
    tenant_id: str


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it may be shown: not the key itself."""

    id: str
    tenant_id: str
    name: str
    created_at: datetime
    revoked_at: datetime | None


def digest(key: str) -> bytes:
    """What is stored of a key. It has 256 random bits, so a plain hash is enough."""
    return hashlib.sha256(key.encode()).digest()


async def create(db: Database, tenant_id: str, name: str) -> str:
    """Make a key for ``tenant_id``, which is created when it is new; returns the key, for the only time."""
    key = PREFIX + secrets.token_urlsafe(32)
    async with db.reading(tenant_id) as connection:
        await connection.execute(upsert(tenants).values(id=tenant_id).on_conflict_do_nothing())
        await connection.execute(
            insert(api_keys).values(id=new_id(), tenant_id=tenant_id, name=name, secret_sha256=digest(key))
        )
    return key


async def listed(db: Database) -> list[ApiKey]:
    """Every key of every tenant, revoked ones too, the newest last."""
    columns = (api_keys.c.id, api_keys.c.tenant_id, api_keys.c.name, api_keys.c.created_at, api_keys.c.revoked_at)
    async with db.reading() as connection:
        rows = await connection.execute(select(*columns).order_by(api_keys.c.id))
        return [ApiKey(str(key_id), *rest) for key_id, *rest in rows]


async def revoke(db: Database, *, key_ids: list[str], tenant_id: str | None = None) -> int:
    """Refuse these keys, or all of ``tenant_id``, from the next request on; how many were valid until now."""
    chosen = api_keys.c.id.in_(key_ids) if tenant_id is None else api_keys.c.tenant_id == tenant_id
    valid = update(api_keys).where(chosen, api_keys.c.revoked_at.is_(None)).values(revoked_at=NOW)
    async with db.reading() as connection:
        return (await connection.execute(valid)).rowcount


async def authenticate(db: Database, key: str) -> Principal | None:
    """Who the key belongs to; ``None`` when it is unknown or revoked."""
    rows = await db.fetch(statements.AUTHENTICATE, {"secret_sha256": digest(key)})
    return Principal(*rows[0]) if rows else None
