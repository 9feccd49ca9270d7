"""What workers do to a run, done step by step: claim through the store, settle through the store."""

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from agentfleet.domain import settlement
from agentfleet.domain.budget import Usage
from agentfleet.domain.errors import ProviderRejected
from agentfleet.domain.model import Claimed, Message, NextStep, Settlement, StepKind
from agentfleet.domain.plan import Continue, Finish
from agentfleet.domain.retry import RetryPolicy
from agentfleet.store import settlements, steps
from agentfleet.store.database import Database
from agentfleet.store.tables import steps as step_table

USAGE = Usage(120, 30, 1000, 10, Decimal("0.0125"))


@dataclass
class Hands:
    """A worker that does one thing at a time, when told."""

    db: Database

    async def claim(self, run_id: str) -> Claimed:
        """Claim the run's one step that waits for a worker."""
        async with self.db.reading() as connection:
            query = select(step_table.c.id, step_table.c.state, step_table.c.pool).where(step_table.c.run_id == run_id)
            rows = (await connection.execute(query)).all()
        if any(row.state == "ready" for row in rows):
            await steps.dispatch(self.db, rows[0].pool, window=1000)
        open_steps = [str(row.id) for row in rows if row.state in {"ready", "dispatched"}]
        [claimed] = await steps.claim(self.db, open_steps, worker="hands:1", lease=30)
        return claimed

    async def settle(self, done: Settlement) -> None:
        written = await settlements.settle(self.db, [(done, "hands:1")], window=1000)
        assert written.settled == {done.step_id}

    def answer(self, claimed: Claimed, output: Any = "Done.") -> Settlement:
        """The settlement of a step that ends its run with ``output``."""
        said = Message(claimed.turn, 0, "assistant", '[{"type": "text",  "text": "Done.", "z": 1, "a": 2}]')
        plan = Finish(json.dumps(output), (said,))
        return settlement.succeeded(claimed, plan, usage=USAGE, usage_raw='{"input_tokens": 120}', request_id="req_1")

    async def finish(self, run_id: str, output: Any = "Done.") -> Claimed:
        """Let the run's open step answer, and with that the run."""
        claimed = await self.claim(run_id)
        await self.settle(self.answer(claimed, output))
        return claimed

    async def call_tool(self, run_id: str) -> Claimed:
        """Let the run's open step ask for one tool call."""
        claimed = await self.claim(run_id)
        said = Message(
            claimed.turn, 0, "assistant", '[{"type":"tool_use","id":"toolu_1","name":"look","input":{"place":"x"}}]'
        )
        call = NextStep(
            StepKind.TOOL,
            "look",
            claimed.turn + 1,
            input='{"call_id":"toolu_1","arguments":{"place":"x"}}',
            effect="read",
        )
        await self.settle(settlement.succeeded(claimed, Continue((call,), (said,)), usage=USAGE, usage_raw="{}"))
        return claimed

    async def bury(self, run_id: str) -> Claimed:
        """Let the run's open step die: its run needs review."""
        claimed = await self.claim(run_id)
        error = ProviderRejected("no such model", status=404, error_type="not_found_error")
        await self.settle(settlement.failed(claimed, error, RetryPolicy(), jitter=0.5))
        return claimed
