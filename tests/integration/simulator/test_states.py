"""Storms, spend caps and closed accounts: faults that hold for an organization or for a time."""

from collections import Counter

import anthropic
import pytest

from agentfleet.simulator.faults import MENU, Answer
from agentfleet.simulator.serve import Running
from tests.integration.simulator.conftest import Connect
from tests.integration.simulator.talk import advance, ask, control, say, stand_still, told

ACCOUNT = [
    "enforced_spend_limit_reached",
    "contract_spend_limit_reached",
    "organization_on_hold",
    "own_spend_limit",
    "unauthorized",
    "payment_required",
    "linked_organization_spend_limit_reached",
    "forbidden",
]


@pytest.mark.parametrize("state", ACCOUNT)
async def test_an_account_stays_closed_at_every_endpoint_until_it_is_lifted(
    sim: Running, connect: Connect, state: str
) -> None:
    acme, other = connect(sim.url, api_key="acme/one"), connect(sim.url, api_key="umbrella/one")
    order = {"fault": state, "match": {"organization": "acme"}}
    armed = (await control(sim, "POST", "faults", order)).json()
    deed = MENU[state].does
    assert isinstance(deed, Answer)
    counted = {"model": ask()["model"], "messages": ask()["messages"]}
    calls = [
        lambda: say(acme, **ask()),
        lambda: acme.messages.count_tokens(**counted),
        lambda: acme.messages.batches.create(requests=[{"custom_id": "a", "params": ask()}]),  # pyright: ignore[reportArgumentType]
    ]
    for call in calls:
        with pytest.raises(anthropic.APIStatusError) as raised:
            await call()
        assert (raised.value.status_code, raised.value.error_code) == (deed.status, deed.error_code)
        assert "retry-after" not in raised.value.response.headers
    await say(other, **ask())
    await control(sim, "DELETE", f"faults/{armed['id']}")
    await say(acme, **ask())


async def test_a_spend_cap_ends_when_the_clock_says_so(sim: Running, client: anthropic.AsyncAnthropic) -> None:
    await stand_still(sim)
    await control(sim, "POST", "faults", {"fault": "enforced_spend_limit_reached", "seconds": 9 * 86_400})
    await advance(sim, 9 * 86_400 - 1)
    with pytest.raises(anthropic.EnforcedSpendLimitReachedError):
        await say(client, **ask())
    await advance(sim, 1)
    await say(client, **ask())
    assert (await told(sim, "faults"))["armed"] == []


async def test_a_storm_hits_its_share_of_the_calls_from_its_start_to_its_end(
    sim: Running, client: anthropic.AsyncAnthropic
) -> None:
    await stand_still(sim)
    await control(sim, "POST", "faults", {"fault": "overloaded", "probability": 0.5, "after": 10, "seconds": 60})

    async def hits() -> int:
        met = Counter[str]()
        for _ in range(8):
            try:
                await say(client, **ask())
            except anthropic.OverloadedError:
                met["overloaded"] += 1
        return met["overloaded"]

    before = await hits()
    await advance(sim, 10)
    within = await hits()
    await advance(sim, 60)
    assert (before, await hits()) == (0, 0)
    assert 0 < within < 8


async def test_an_overload_in_the_stream_hits_only_the_model_it_is_meant_for(
    sim: Running, client: anthropic.AsyncAnthropic
) -> None:
    order = {"fault": "stream_overloaded", "match": {"model": "claude-opus-5"}, "seconds": 60}
    await control(sim, "POST", "faults", order)
    with pytest.raises(anthropic.APIStatusError) as raised:
        await say(client, **ask(model="claude-opus-5"))
    assert (raised.value.status_code, raised.value.type) == (200, "overloaded_error")
    await say(client, **ask())


async def test_an_organization_may_be_named_by_the_configuration(sim: Running, connect: Connect) -> None:
    await control(sim, "PATCH", "config", {"organization_by_key": {"sk-1": "acme", "sk-2": "acme"}})
    await control(sim, "POST", "faults", {"fault": "forbidden", "match": {"organization": "acme"}})
    for key in ("sk-1", "sk-2"):
        with pytest.raises(anthropic.PermissionDeniedError):
            await say(connect(sim.url, api_key=key), **ask())
    await say(connect(sim.url, api_key="sk-3"), **ask())
