"""What supervisors and Prometheus ask; no key needed, nothing told about any tenant."""

import asyncio
from typing import Final

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.exceptions import RedisError

from agentfleet.api import schemas
from agentfleet.api.documents import dumps
from agentfleet.api.services import Services, services
from agentfleet.store import health
from agentfleet.store.database import UNAVAILABLE

PATIENCE: Final = 2.0
"""Seconds that a server may take to answer before it counts as unreachable."""
JSON: Final = "application/json"

router = APIRouter(tags=["health"])


@router.get("/healthz", operation_id="getLiveness", response_model=schemas.Liveness)
async def healthz() -> Response:
    """The process answers. Nothing else is looked at: restarting it would not bring a database back."""
    return Response(b'{"status":"ok"}', 200, media_type=JSON)


@router.get("/readyz", operation_id="getReadiness", response_model=schemas.Readiness)
async def readyz(request: Request) -> Response:
    """Runs can be accepted: the database answers and has this code's schema. Redis may be away; it only rings."""
    parts = services(request)
    (database, schema), redis = await asyncio.gather(_database(parts), _redis(parts))
    ready = database == "ok" and schema == "ok" and not parts.watch.stopping
    checks = {"database": database, "schema": schema, "redis": redis}
    status = "ok" if ready else "stopping" if parts.watch.stopping else "unavailable"
    return Response(dumps({"status": status, "checks": checks}), 200 if ready else 503, media_type=JSON)


@router.get("/metrics", operation_id="getMetrics", response_class=Response)
async def metrics() -> Response:
    """Prometheus metrics of this process."""
    return Response(generate_latest(), 200, media_type=CONTENT_TYPE_LATEST)


async def _database(parts: Services) -> tuple[str, str]:
    try:
        async with asyncio.timeout(PATIENCE):
            found = await health.revision(parts.ingress.db)
    except (*UNAVAILABLE, TimeoutError):
        return "unreachable", "unknown"
    return "ok", health.schema_problem(found) or "ok"


async def _redis(parts: Services) -> str:
    try:
        async with asyncio.timeout(PATIENCE):
            await parts.ingress.redis.ping()  # pyright: ignore[reportUnknownMemberType]  # its options have no types
    except (RedisError, OSError, TimeoutError):
        return "unreachable"
    return "ok"
