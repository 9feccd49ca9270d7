"""What this deployment offers: its agents, its version, its limits."""

from typing import Final

from fastapi import APIRouter, Request, Response

from agentfleet.agents.agent import Agent
from agentfleet.api import schemas, strict_json, submissions
from agentfleet.api.documents import Document, dumps
from agentfleet.api.pages import MAX_LIMIT
from agentfleet.api.services import Services, services
from agentfleet.telemetry.metrics import running_version

JSON: Final = "application/json"

router = APIRouter(tags=["catalogue"])


@router.get("/v1/agents", operation_id="listAgents", response_model=schemas.Agents)
async def list_agents(request: Request) -> Response:
    """The agents that runs can be submitted for, by name."""
    parts = services(request)
    found = [_agent(agent, parts) for _, agent in sorted(parts.ingress.registry.agents.items())]
    return Response(dumps({"data": found}), 200, media_type=JSON)


@router.get("/v1/meta", operation_id="getMeta", response_model=schemas.Meta)
async def get_meta(request: Request) -> Response:
    """The version that answers, and the limits that it keeps."""
    settings = services(request).ingress.settings
    limits = {
        "max_body_bytes": settings.max_body_bytes,
        "max_wait_seconds": int(settings.max_wait),
        "max_json_depth": strict_json.MAX_DEPTH,
        "max_json_values": strict_json.MAX_NODES,
        "max_text_bytes": strict_json.MAX_STRING_BYTES,
        "max_metadata_keys": submissions.MAX_METADATA,
        "max_deadline_seconds": int(submissions.MAX_DEADLINE),
        "max_page": MAX_LIMIT,
    }
    return Response(dumps({"version": running_version(), "limits": limits}), 200, media_type=JSON)


def _agent(agent: Agent, parts: Services) -> Document:
    bundle = parts.pinned[agent.name]
    return {
        "name": agent.name,
        "model": agent.model,
        "pool": agent.pool,
        "bundle_id": bundle.id,
        "tools": [{**tool.spec, "effect": tool.effect} for tool in agent.tools],
        "input_schema": None if agent.input_type is None else agent.input_type.model_json_schema(),
        "output_schema": bundle.spec["output_schema"],
        "budget": bundle.spec["budget"],
    }
