"""``Client``: the API as methods. Blocking; safe to share between threads."""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Literal, Self

from agentfleet.client.dead_letters import DeadLetters
from agentfleet.client.errors import WaitTimeout
from agentfleet.client.models import SETTLED, AgentInfo, Budgets, Event, Run, Step, UsageReport
from agentfleet.client.stream import follow
from agentfleet.client.tracing import trace_headers
from agentfleet.client.transport import Transport

LONG_POLL: Final = 30
"""Seconds that one question may wait at the server."""


class Client(DeadLetters):
    """Speaks to the API at ``base_url`` with ``api_key``. Every call may raise ``ApiProblem`` or ``Unreachable``.

    ``patience``: seconds for which a call goes on trying while the API cannot be reached, or says that it cannot serve.
    """

    def __init__(self, base_url: str, api_key: str, *, patience: float = 30.0) -> None:
        self._transport = Transport(base_url, api_key, patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def submit(
        self,
        agent: str,
        input: str | Mapping[str, Any],  # noqa: A002 - the API's word
        *,
        key: str | None = None,
        priority: int = 0,
        metadata: Mapping[str, str] | None = None,
        deadline: float | str | None = None,
        lane: Literal["batch", "direct"] | None = None,
        parent_run_id: str | None = None,
    ) -> Run:
        """Submit a run; when this returns, it is durable.

        ``key`` makes it one run however often it is submitted, by whichever process; without one, this call's own
        retries still make one run. ``deadline`` is in seconds from now, or a text like ``6h``; with
        ``lane="batch"`` the run uses it to wait for Message Batches, at half the price. A run with
        ``parent_run_id`` spends from that run's budget, too, and is cancelled with it. When the caller is inside an
        OpenTelemetry span, the run is linked to it.
        """
        body = {
            "agent": agent,
            "input": input,
            "priority": priority,
            "metadata": metadata or {},
            "deadline": deadline,
            "lane": lane,
            "parent_run_id": parent_run_id,
        }
        body = {name: value for name, value in body.items() if value is not None}
        headers = {"Idempotency-Key": key or str(uuid.uuid4()), **trace_headers()}
        return Run.model_validate(self._transport.json("POST", "/v1/runs", body=body, headers=headers))

    def get(self, run_id: str) -> Run:
        """The run as it is now."""
        return Run.model_validate(self._transport.json("GET", f"/v1/runs/{run_id}"))

    def wait(self, run_id: str, timeout: float | None = None) -> Run:
        """The run once it has ended or needs a human; raises ``WaitTimeout`` after ``timeout`` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = LONG_POLL if deadline is None else min(LONG_POLL, max(0, round(deadline - time.monotonic())))
            document = self._transport.json("GET", f"/v1/runs/{run_id}", headers={"Prefer": f"wait={left}"}, waits=left)
            run = Run.model_validate(document)
            if run.status in SETTLED:
                return run
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeout(f"run {run_id} is {run.status} after {timeout:g} s")

    def result(self, run_id: str) -> Any:
        """The output of a run that succeeded; any other answers with an ``ApiProblem`` that says why there is none."""
        return self._transport.json("GET", f"/v1/runs/{run_id}/result")["output"]

    def change_budget(self, run_id: str, **ceilings: int | Decimal | None) -> Run:
        """Give the run other ceilings, by name: ``max_steps``, ``max_tool_calls``, ``max_tokens``, ``max_cost_usd``;
        ``None`` lifts one. What waits for them goes on at once.
        """
        budget = {name: str(value) if isinstance(value, Decimal) else value for name, value in ceilings.items()}
        return Run.model_validate(self._transport.json("PATCH", f"/v1/runs/{run_id}", body={"budget": budget}))

    def budgets(self) -> Budgets:
        """What the tenant may still spend today."""
        return Budgets.model_validate(self._transport.json("GET", "/v1/budgets"))

    def usage(self, since: str = "7d", *, by: str = "agent") -> UsageReport:
        """What the tenant's runs of the last time spent, saved and wasted, by agent, bundle, model or day."""
        return UsageReport.model_validate(self._transport.json("GET", "/v1/usage", params={"since": since, "by": by}))

    def cancel(self, run_id: str) -> Run:
        """End the run at once. Harmless when it was cancelled before."""
        return Run.model_validate(self._transport.json("POST", f"/v1/runs/{run_id}/cancel"))

    def events(self, run_id: str, *, after: int = 0) -> Iterator[Event]:
        """Every event of the run, past and future, until it has ended. A broken connection is made again where it
        broke; only events of type ``delta`` may be lost.
        """
        return follow(self._transport, run_id, after)

    def runs(self, *, status: Sequence[str] = (), agent: str | None = None) -> Iterator[Run]:
        """Runs, the newest first, without their input and output."""
        params = {"status": list(status), **({"agent": agent} if agent else {})}
        return (Run.model_validate(document) for document in self._transport.pages("/v1/runs", params))

    def steps(self, run_id: str, *, attempts: bool = False) -> Iterator[Step]:
        """The run's steps in the order in which they were created."""
        params = {"attempts": "true" if attempts else "false"}
        return (Step.model_validate(document) for document in self._transport.pages(f"/v1/runs/{run_id}/steps", params))

    def agents(self) -> list[AgentInfo]:
        """What runs can be submitted for."""
        return [AgentInfo.model_validate(document) for document in self._transport.json("GET", "/v1/agents")["data"]]
