"""Which dead letters a question is about, from its query parameters."""

from enum import StrEnum
from typing import Annotated

from fastapi import Query
from pydantic import AwareDatetime

from agentfleet.api.schemas.dead_letters import AGENT, FINGERPRINT, STEP_NAME
from agentfleet.domain.verdicts import Verdict
from agentfleet.store.dead_letters import Filter


class LetterState(StrEnum):
    """What became of a dead letter."""

    OPEN = "open"
    REPLAYED = "replayed"
    DISCARDED = "discarded"


def letter_filter(
    fingerprint: Annotated[str | None, Query(pattern=FINGERPRINT, description="Only this kind.")] = None,
    verdict: Annotated[Verdict | None, Query(description="Only with this verdict.")] = None,
    agent: Annotated[str | None, Query(pattern=AGENT, description="Only of this agent's runs.")] = None,
    name: Annotated[str | None, Query(pattern=STEP_NAME, description="Only of this tool, or this model.")] = None,
    created_after: Annotated[AwareDatetime | None, Query(description="Only from this moment on (RFC 3339).")] = None,
    created_before: Annotated[
        AwareDatetime | None, Query(description="Only from before this moment (RFC 3339).")
    ] = None,
) -> Filter:
    """For ``Depends``: all of it must hold."""
    return Filter(None, (), fingerprint, verdict, agent, name, created_after, created_before)
