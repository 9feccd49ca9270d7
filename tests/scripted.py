"""The engine's ports as a test owns them: a model that follows a script, tools that are told what to do, a broker that
keeps its messages; and a step worker made of them on a real database.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

from agentfleet.domain.budget import Budget, CallPrice, Usage
from agentfleet.domain.model import Bundle, Claimed, Doorbell
from agentfleet.domain.plan import Invalid, Rules, ToolUse, Turn, Valid
from agentfleet.domain.retry import RetryPolicy
from agentfleet.engine.budget import Reserver
from agentfleet.engine.cancel import Canceller
from agentfleet.engine.claim import Claims
from agentfleet.engine.execute import Executor
from agentfleet.engine.heartbeat import Leases
from agentfleet.engine.perform import Performer
from agentfleet.engine.ports import Prices, Reasoned, ReasonRequest, ToolResult
from agentfleet.engine.serve import StepServer
from agentfleet.engine.settle import Settler
from agentfleet.store.bundles import Bundles
from agentfleet.store.database import Database
from tests.factories import EFFECTS, LEASE, POOL

USAGE = Usage(100, 20, 1000, 10, Decimal("0.0125"))
"""What every scripted model call costs."""


def answer(text: str = "done") -> Turn:
    """The model ends the run."""
    return Turn("end_turn", json.dumps([{"type": "text", "text": text}]), text)


def ask_for(*tools: str) -> Turn:
    """The model asks for these tools at once."""
    uses = tuple(ToolUse(f"toolu_{n}", name, "{}") for n, name in enumerate(tools))
    blocks: list[dict[str, Any]] = [
        {"type": "tool_use", "id": use.call_id, "name": use.name, "input": {}} for use in uses
    ]
    return Turn("tool_use", json.dumps(blocks), "", uses)


@dataclass
class Script:
    """A model that says ``turns`` in order. It goes by the conversation, so a repeated call gets the same answer.

    ``before`` is awaited in every call and may raise.
    """

    turns: Sequence[Turn]
    before: Callable[[ReasonRequest], Awaitable[None]] | None = None
    calls: list[str] = field(default_factory=list)
    """The step ids of all calls."""

    async def reason(self, request: ReasonRequest, on_text: Callable[[str], None] | None) -> Reasoned:
        """The port's, without deltas."""
        del on_text
        self.calls.append(request.step_id)
        if self.before is not None:
            await self.before(request)
        said = sum(message.role == "assistant" for message in request.conversation)
        return Reasoned(self.turns[said], USAGE, '{"input_tokens":100}', f"req_{request.step_id}")

    async def close(self) -> None: ...


@dataclass
class Tools:
    """Tools of which every one answers "ok", or awaits ``work``, which gets the claimed step."""

    work: Callable[[Claimed], Awaitable[ToolResult]] | None = None
    budget: Budget = field(default_factory=Budget)
    calls: list[str] = field(default_factory=list)

    async def call(self, claimed: Claimed, call_id: str, arguments: Mapping[str, Any]) -> ToolResult:
        """The port's; what was asked for does not matter here."""
        del call_id, arguments
        self.calls.append(claimed.step_id)
        return ToolResult("ok") if self.work is None else await self.work(claimed)

    def rules(self, bundle: Bundle) -> Rules:
        return Rules(bundle.spec["model"], self.budget, EFFECTS, _any_output)


def _any_output(text: str) -> Valid | Invalid:
    return Valid(json.dumps(text))


@dataclass
class Bells:
    """A broker that keeps what it gets. ``lossy``: it loses every message instead."""

    lossy: bool = False
    rung: list[Doorbell] = field(default_factory=list)
    woken: list[str] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)

    async def publish(self, doorbells: Sequence[Doorbell]) -> None:
        if not self.lossy:
            self.rung.extend(doorbells)

    async def wake(self, pool: str) -> None:
        self.woken.append(pool)

    async def revoke(self, step_ids: Sequence[str]) -> None:
        self.revoked.extend(step_ids)

    def take(self) -> list[str]:
        """The step ids of all messages, which are gone then."""
        taken, self.rung = [bell.step_id for bell in self.rung], []
        return taken


class Silent:
    """Nobody listens to token deltas."""

    def writer(self, *_: str) -> Callable[[str], None] | None:
        return None


def price(model: str, prompt_tokens: int, *, cached: bool, times: int = 1) -> CallPrice | None:
    """No scripted call costs more, however long its prompt or its answer; or it might, so many ``times``."""
    del model, prompt_tokens, cached
    return CallPrice(USAGE.cost_usd * times, Decimal(0))


class Worker:
    """A step worker in this process: everything that ``bootstrap`` wires, on scripted ports."""

    def __init__(  # noqa: PLR0913  # keywords, each with a default that suits most tests
        self,
        db: Database,
        bells: Bells,
        model: Script,
        tools: Tools | None = None,
        *,
        name: str = "worker:1",
        lease: float = LEASE,
        window: int = 1000,
        clock: Callable[[], float] = time.monotonic,
        policy: RetryPolicy | None = None,
        reason_timeout: float = 60,
        price: Prices = price,
    ) -> None:
        self.db, self.bells, self.model, self.tools = db, bells, model, tools or Tools()
        self.policy = policy or RetryPolicy()
        self.settler = Settler(db, bells, window=window)
        self.leases = Leases(db, lease=lease, pool=POOL, clock=clock)
        performer = Performer(
            Bundles(db),
            model,
            self.tools,
            Silent(),
            self.policy,
            reason_timeout=reason_timeout,
            reserve=Reserver(db, price),
        )
        self.execute = Executor(Claims(db, worker=name, lease=lease), self.leases, performer, self.settler, worker=name)

    def server(self) -> StepServer:
        """The worker as the broker sees it; ``open`` it for heartbeats."""
        canceller = Canceller(self.db, self.bells)
        return StepServer(self.db, self.bells, self.execute, self.leases, canceller, heartbeat=3600, pool=POOL)

    async def work(self, *, copies: int = 1, order: Random | None = None) -> int:
        """Run all messages until none is left, each ``copies`` times, in any ``order``; how many attempts settled."""
        settled = 0
        while ids := self.bells.take() * copies:
            if order is not None:
                order.shuffle(ids)
            settled += sum(outcome is not None for outcome in await asyncio.gather(*map(self.execute, ids)))
        return settled


async def until(condition: Callable[[], Awaitable[object]], what: str) -> None:
    """Wait until ``condition`` holds; fails after 20 s naming ``what``."""
    for _ in range(4_000):
        if await condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"waited in vain until {what}")
