"""A client for producers: submit runs, follow them, fetch results, replay dead letters. Needs nothing of the fleet."""

from agentfleet.client.client import Client
from agentfleet.client.errors import ApiProblem, ClientError, Unreachable, WaitTimeout
from agentfleet.client.models import (
    AgentInfo,
    Attempt,
    Budget,
    Budgets,
    Cluster,
    DeadLetter,
    Event,
    ReplayPlan,
    ReplayProgress,
    Run,
    Step,
    Usage,
    UsageReport,
    Waiting,
)

__all__ = [
    "AgentInfo",
    "ApiProblem",
    "Attempt",
    "Budget",
    "Budgets",
    "Client",
    "ClientError",
    "Cluster",
    "DeadLetter",
    "Event",
    "ReplayPlan",
    "ReplayProgress",
    "Run",
    "Step",
    "Unreachable",
    "Usage",
    "UsageReport",
    "WaitTimeout",
    "Waiting",
]
