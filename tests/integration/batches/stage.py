"""The batch lane of one fleet: a worker with the real SDK, the lane's two duties, and time that the test moves."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agentfleet.domain.model import Bundle
from agentfleet.domain.plan import first_step
from agentfleet.domain.retry import RetryPolicy
from agentfleet.engine.batch import BatchLane
from agentfleet.engine.budget import Reserver
from agentfleet.engine.cancel import Canceller
from agentfleet.engine.claim import Claims
from agentfleet.engine.dispatch import Dispatcher
from agentfleet.engine.execute import Executor
from agentfleet.engine.heartbeat import Leases
from agentfleet.engine.perform import Performer
from agentfleet.engine.ports import Reasoner
from agentfleet.engine.promote import Promoter
from agentfleet.engine.receive import Receiver
from agentfleet.engine.send import Sender
from agentfleet.engine.settle import Settler
from agentfleet.provider.batch_result import read_result
from agentfleet.provider.batches import AnthropicBatches
from agentfleet.provider.prices import worst_case
from agentfleet.simulator.log import Entry
from agentfleet.simulator.serve import Running
from agentfleet.store.bundles import Bundles
from agentfleet.store.database import Database
from tests import factories
from tests.conftest import Clock
from tests.factories import POOL, execute
from tests.scripted import Bells, Silent, Tools

MODEL = "claude-sonnet-5-5"
LOOK = {
    "name": "look",
    "description": "Look at one place.",
    "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}
BUNDLE = Bundle("bundle-1", factories.AGENT, {
    **factories.BUNDLE.spec, "model": MODEL, "instructions": "Be brief.", "max_tokens": 1000, "thinking": None,
    "effort": None, "cache": True,
})  # fmt: skip
HOUR = 3_600.0
RECOVER_AFTER = 300.0


@dataclass
class Stage:
    """What a test of the lane works with. ``url`` is the database's, for looks around row-level security."""

    db: Database
    url: str
    sim: Running
    service: AnthropicBatches
    reasoner: Reasoner
    clock: Clock

    def __post_init__(self) -> None:
        self.bells = Bells()
        self.canceller = Canceller(self.db, self.bells)
        self.sender, self.receiver = self.new_sender(), self.new_receiver()
        settler = Settler(self.db, self.bells, window=1000)
        leases = Leases(self.db, lease=factories.LEASE, pool=POOL)
        performer = Performer(
            Bundles(self.db),
            self.reasoner,
            Tools(),
            Silent(),
            RetryPolicy(),
            reason_timeout=60,
            reserve=Reserver(self.db, worst_case),
            lane=BatchLane(self.db, read_result, margin=None),
        )
        claims = Claims(self.db, worker="worker:1", lease=factories.LEASE)
        self.execute = Executor(claims, leases, performer, settler, worker="worker:1")

    def new_sender(self, *, max_requests: int = 1000, recover_after: float = RECOVER_AFTER) -> Sender:
        """A sender as another process has it."""
        return Sender(
            self.db,
            Bundles(self.db),
            self.service,
            margin=None,
            max_requests=max_requests,
            recover_after=recover_after,
            clock=self.now,
        )

    def new_receiver(self) -> Receiver:
        return Receiver(self.db, self.service, poll=60)

    def now(self) -> float:
        return self.sim.simulator.clock()

    def pass_time(self, seconds: float) -> None:
        """For everybody."""
        self.clock.advance(seconds)
        self.sim.simulator.clock.advance(seconds)

    async def submit(self, count: int = 1, *, deadline: float | None = 6 * HOUR, **changes: Any) -> list[str]:
        """Accept runs of the lane; their ids."""
        await factories.save_bundle(self.db, BUNDLE)
        texts = [json.dumps([{"type": "text", "text": f"Say hello, number {number}."}]) for number in range(count)]
        found = [
            await factories.submit(
                self.db, content=text, deadline=deadline, **{"lane": "batch", "first": first_step(MODEL), **changes}
            )
            for text in texts
        ]
        return [accepted.run_id for accepted in found]

    async def work(self) -> None:
        """Promote, dispatch and run until nothing is due."""
        while True:
            await Promoter(self.db, self.bells).run_once()
            await Dispatcher(self.db, self.bells, pool=POOL, window=1000).run_once()
            due = [row[0] for row in self.query("SELECT id::text FROM steps WHERE state = 'dispatched'")]
            if not due:
                return
            await asyncio.gather(*map(self.execute, due))

    async def through(self, seconds: float = 60) -> None:
        """Work, send what waits, let ``seconds`` pass, receive, work."""
        await self.work()
        await self.sender.run_once()
        self.pass_time(seconds)
        await self.receiver.run_once()
        await self.work()

    def query(self, statement: str, *params: object) -> list[tuple[Any, ...]]:
        return execute(self.url, statement, *params)

    def states(self) -> list[str]:
        """Of all runs, sorted."""
        return sorted(row[0] for row in self.query("SELECT state FROM runs"))

    def items(self) -> list[str]:
        """States of all items, sorted."""
        return sorted(row[0] for row in self.query("SELECT state FROM batch_items"))

    def batches(self) -> list[str]:
        """States of all batches, oldest first."""
        return [row[0] for row in self.query("SELECT state FROM batches ORDER BY created_at, id")]

    def calls(self, endpoint: str, where: Callable[[Entry], object] = lambda _: True) -> list[Entry]:
        """What the provider was asked."""
        return [entry for entry in self.sim.simulator.log.entries if entry.endpoint == endpoint and where(entry)]

    def paid(self) -> list[str | None]:
        """The input of every call that was paid for."""
        return [entry.input for entry in self.sim.simulator.log.entries if entry.paid]
