"""Two organizations of one simulator, through the real SDK, metered in a real Redis: who answers which run."""

import re

import pytest
from redis.asyncio import Redis

from agentfleet.domain.admission import FAILURES_TO_SHUT
from agentfleet.domain.errors import ProviderBusy, ProviderOverloaded
from agentfleet.domain.model import Message
from agentfleet.domain.routing import gives_way, is_bound
from agentfleet.engine.ports import Reasoned
from tests.integration.provider.organizations import HELLO, OTHER, Fleet
from tests.integration.provider.talk import MODEL, message

AGAIN = message(2, "user", "Again.")


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


async def test_a_model_behind_an_open_breaker_gives_way(fleet: Fleet):
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


async def test_a_bucket_that_has_to_be_left_alone_is_no_reason_for_another_model(fleet: Fleet):
    reasoned = await fleet.ask("run", HELLO)
    organization = str(reasoned.account).removesuffix("-main")
    fleet.admission.limited(f"{organization}/sonnet-5.5", 60, growth=False)
    await fleet.admission.close()  # it has been told
    with pytest.raises(ProviderBusy) as caught:
        await fleet.ask("run", HELLO, account=reasoned.account, fallback_models=["claude-haiku-5-5"])
    assert not gives_way(caught.value)


async def test_a_parked_account_is_looked_at_by_runs_that_could_go_elsewhere(fleet: Fleet, redis: Redis):
    fleet.sim.simulator.faults.lift(await fleet.park("acme"))
    assert await fleet.admission.parked(["acme"]) == {"acme"}
    await redis.hset("test:account:acme", "look_at", "1")  # the time to look has come
    runs = [f"run-{number}" for number in range(20)]
    await fleet.reasoner._quota.look(("acme", "globex"), now=True)
    for run in runs:
        await fleet.ask(run, HELLO)
    assert await fleet.admission.parked(["acme"]) == frozenset(), "the first that looked has opened it"
    assert {organization for run in runs for organization in fleet.asked(run)} == {"acme", "globex"}


async def test_one_looks_and_the_others_go_elsewhere_at_once(fleet: Fleet, redis: Redis):
    await fleet.park("acme")
    await redis.hset("test:account:acme", "look_at", "1")
    await fleet.reasoner._quota.look(("acme", "globex"), now=True)
    runs = [f"run-{number}" for number in range(20)]
    answered = [await fleet.ask(run, HELLO) for run in runs]
    assert {reasoned.account for reasoned in answered} == {"globex-main"}
    assert [run for run in runs if "acme" in fleet.asked(run)] != []
    assert sum("acme" in fleet.asked(run) for run in runs) == 1
