"""The documents of the API as clients see them. Only ``/openapi.json`` and the tests use them: answers are written from
rows by ``documents``, and the tests check them against these models.
"""

from agentfleet.api.schemas.autoscale import Autoscale, Expectation, ExpectationRequest, Expectations
from agentfleet.api.schemas.base import Problem
from agentfleet.api.schemas.budgets import Budgets, RunChange
from agentfleet.api.schemas.dead_letters import (
    Clusters,
    DeadLetter,
    DeadLetterDetail,
    DeadLetterPage,
    LetterFilter,
    Replayed,
    ReplayEdit,
    ReplayPlan,
    ReplayProgress,
    ReplayRequest,
    ReplaysRequest,
    SkipRequest,
)
from agentfleet.api.schemas.operations import Agents, Liveness, Meta, Readiness
from agentfleet.api.schemas.runs import Accepted, Result, Run, RunPage, RunRequest, RunSummary, Waiting
from agentfleet.api.schemas.steps import Delta, Event, Message, MessagePage, Step, StepPage
from agentfleet.api.schemas.usage import UsageReport

__all__ = [
    "Accepted",
    "Agents",
    "Autoscale",
    "Budgets",
    "Clusters",
    "DeadLetter",
    "DeadLetterDetail",
    "DeadLetterPage",
    "Delta",
    "Event",
    "Expectation",
    "ExpectationRequest",
    "Expectations",
    "LetterFilter",
    "Liveness",
    "Message",
    "MessagePage",
    "Meta",
    "Problem",
    "Readiness",
    "ReplayEdit",
    "ReplayPlan",
    "ReplayProgress",
    "ReplayRequest",
    "Replayed",
    "ReplaysRequest",
    "Result",
    "Run",
    "RunChange",
    "RunPage",
    "RunRequest",
    "RunSummary",
    "SkipRequest",
    "Step",
    "StepPage",
    "UsageReport",
    "Waiting",
]
