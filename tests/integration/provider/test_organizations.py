"""Two organizations of one simulator, through the real SDK, metered in a real Redis: who answers which run."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from agentfleet.domain.admission import FAILURES_TO_SHUT, Pace
from agentfleet.domain.errors import ProviderBusy, ProviderOverloaded, ProviderParked
from agentfleet.domain.model import Message
from agentfleet.domain.routing import gives_way, is_bound
from agentfleet.engine.ports import Reasoned
from agentfleet.provider import quota as quotas
from agentfleet.provider.account import Account
from agentfleet.provider.admission import Admission
from agentfleet.provider.limits import Limits
from agentfleet.provider.quota import Quota
from agentfleet.provider.reasoner import AnthropicReasoner
from agentfleet.simulator.armed import Match, Order
from agentfleet.simulator.serve import Running
from tests.integration.provider.talk import MODEL, ask, message

OTHER = {"acme": "globex", "globex": "acme"}
HELLO = message(0, "user", "Say hello.")
AGAIN = message(2, "user", "Again.")


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

    def arm(self, fault: str, **match: Any) -> None:
        self.sim.simulator.faults.arm(Order(fault=fault, match=Match(**match)))

    async def park(self, organization: str) -> None:
        """The organization has spent its money, and one call has found out."""
        self.arm("enforced_spend_limit_reached", organization=organization)
        with pytest.raises(ProviderParked):
            await self.ask("canary", HELLO, account=f"{organization}-main")


@pytest.fixture
async def fleet(sim: Running, redis: Redis, monkeypatch) -> AsyncIterator[Fleet]:
    monkeypatch.setattr(quotas, "LOOK_EVERY", 0.0)  # parked accounts are known at once
    fleet = Fleet(sim, redis)
    yield fleet
    await fleet.reasoner.close()


def said(reasoned: Reasoned, *, thinking: bool = True) -> Message:
    """The turn as the conversation keeps it."""
    content = reasoned.turn.content
    return Message(1, 0, "assistant", content if thinking else re.sub(r'^\[\{"type":"thinking".*?\},', "[", content))


async def test_runs_are_spread_over_organizations_and_each_stays_in_its_own(fleet: Fleet):
    answered = {run: await fleet.ask(run, HELLO) for run in (f"run-{number}" for number in range(20))}
    assert {reasoned.account for reasoned in answered.values()} == {"acme-main", "globex-main"}
    for run, reasoned in answered.items():
        await fleet.ask(run, HELLO, said(reasoned), AGAIN, account=reasoned.account)
        organization = str(reasoned.account).removesuffix("-main")
        assert fleet.asked(run) == [organization] * 2


async def test_new_runs_leave_a_parked_organization_alone(fleet: Fleet):
    await fleet.park("acme")
    for number in range(10):
        assert (await fleet.ask(f"run-{number}", HELLO)).account == "globex-main"


async def test_a_run_that_has_thought_waits_for_its_parked_account_and_another_one_moves(fleet: Fleet):
    reasoned = await fleet.ask("run", HELLO, thinking="adaptive")
    home = str(reasoned.account).removesuffix("-main")
    assert is_bound([said(reasoned)]), "the simulated model thinks"
    assert not is_bound([said(reasoned, thinking=False)])
    await fleet.park(home)

    with pytest.raises(ProviderBusy):
        await fleet.ask("run", HELLO, said(reasoned), AGAIN, account=f"{home}-main", thinking="adaptive")
    assert fleet.asked("run") == [home], "nothing was sent"
    moved = await fleet.ask("run", HELLO, said(reasoned, thinking=False), AGAIN, account=f"{home}-main")
    assert moved.account == f"{OTHER[home]}-main"


async def test_a_model_behind_an_open_breaker_gives_way_and_a_full_bucket_does_not(fleet: Fleet):
    reasoned = await fleet.ask("run", HELLO)
    fleet.arm("overloaded", model=MODEL)
    for _ in range(FAILURES_TO_SHUT):
        with pytest.raises(ProviderOverloaded):
            await fleet.ask("run", HELLO, account=reasoned.account)

    with pytest.raises(ProviderBusy) as caught:
        await fleet.ask("run", HELLO, account=reasoned.account, fallback_models=["claude-haiku-5-5"])
    assert gives_way(caught.value)
    with pytest.raises(ProviderBusy) as caught:
        await fleet.ask("run", HELLO, account=reasoned.account)
    assert not gives_way(caught.value), "an agent without fallbacks does not even ask why"
