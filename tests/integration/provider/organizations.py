"""A reasoner with one account in each of two organizations of one simulator, metered in a real Redis."""

from dataclasses import replace
from typing import Any

from pydantic import SecretStr
from redis.asyncio import Redis

from agentfleet.domain.admission import Pace
from agentfleet.domain.model import Message
from agentfleet.engine.ports import Reasoned
from agentfleet.provider.account import Account
from agentfleet.provider.admission import Admission
from agentfleet.provider.limits import Limits
from agentfleet.provider.quota import Quota
from agentfleet.provider.reasoner import AnthropicReasoner
from agentfleet.simulator.armed import Match, Order
from agentfleet.simulator.serve import Running
from tests.integration.provider.talk import ask, message

OTHER = {"acme": "globex", "globex": "acme"}
HELLO = message(0, "user", "Say hello.")


class Fleet:
    """A reasoner with one account in each organization."""

    def __init__(self, sim: Running, redis: Redis) -> None:
        accounts = [
            Account(name=f"{name}-main", organization=name, api_key=SecretStr(f"{name}/1"), base_url=sim.url)
            for name in OTHER
        ]
        self.sim = sim
        self.admission = Admission(redis, prefix="test", pace=Pace(), caps={})
        quota = Quota(self.admission, reads_count=(), probe=600)
        self.reasoner = AnthropicReasoner(accounts, limits=Limits(20), quota=quota)

    async def ask(self, run: str, *conversation: Message, account: str | None = None, **changes: Any) -> Reasoned:
        request = replace(ask(*conversation, **changes), run_id=run, step_id=f"{run}-{len(conversation)}")
        try:
            return await self.reasoner.reason(replace(request, account=account), None)
        finally:
            await self.admission.close()  # what is known of the buckets has been told

    def asked(self, run: str) -> list[str]:
        """The organizations that were called for a run."""
        entries = self.sim.simulator.log.page(100, where={"run": run})
        return [entry["organization"] for entry in entries]

    def arm(self, fault: str, **match: Any) -> int:
        """The id by which it is lifted."""
        return self.sim.simulator.faults.arm(Order(fault=fault, match=Match(**match))).id

    async def park(self, organization: str) -> int:
        """The organization has spent its money, and one call has found out; by this id it gets new money."""
        spent = self.arm("enforced_spend_limit_reached", organization=organization)
        await self.ask("canary", HELLO, account=f"{organization}-main")
        assert self.asked("canary") == [organization, OTHER[organization]], "it was refused, and went elsewhere"
        return spent
