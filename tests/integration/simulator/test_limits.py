"""Rate limits and prompt caching as a client meets them."""

import re
from datetime import datetime

import anthropic
import pytest

from agentfleet.simulator.config import Limits, Ramp, SimulatorConfig
from agentfleet.simulator.serve import Running
from tests.integration.simulator.conftest import Connect, Serve
from tests.integration.simulator.talk import LOOK, advance, altered, ask, blocks, control, results, say

LONG = "All of this is the same every time. " * 200  # 1,800 tokens, above the smallest prefix that is cached


async def headers_of(client: anthropic.AsyncAnthropic, **request: object) -> dict[str, str]:
    async with client.messages.stream(**request) as stream:  # pyright: ignore[reportArgumentType]
        await stream.get_final_message()
        return dict(stream.response.headers)


async def test_every_answer_carries_the_twelve_headers(client: anthropic.AsyncAnthropic) -> None:
    limits = {name: value for name, value in (await headers_of(client, **ask())).items() if "ratelimit" in name}
    kinds = ("requests", "input-tokens", "output-tokens", "tokens")
    fields = ("limit", "remaining", "reset")
    assert set(limits) == {f"anthropic-ratelimit-{kind}-{field}" for kind in kinds for field in fields}
    for kind in kinds:
        assert int(limits[f"anthropic-ratelimit-{kind}-remaining"]) <= int(limits[f"anthropic-ratelimit-{kind}-limit"])
        assert datetime.fromisoformat(limits[f"anthropic-ratelimit-{kind}-reset"]).tzinfo is not None


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        (Limits(requests_per_minute=1), "requests"),
        (Limits(input_tokens_per_minute=4), "input tokens"),
        (Limits(output_tokens_per_minute=1), "output tokens"),
    ],
)
async def test_an_empty_bucket_is_a_429_that_says_when(
    serve: Serve, connect: Connect, limits: Limits, named: str
) -> None:
    client = connect(serve(SimulatorConfig(limits=limits)).url)
    await say(client, **ask())
    with pytest.raises(anthropic.RateLimitError, match=f"{named} per minute") as raised:
        await say(client, **ask())
    assert re.fullmatch(r"[1-9]\d*", raised.value.response.headers["retry-after"])
    assert raised.value.response.headers["x-should-retry"] == "true"


async def test_models_of_one_group_share_a_bucket_and_others_do_not(serve: Serve, connect: Connect) -> None:
    client = connect(serve(SimulatorConfig(limits=Limits(requests_per_minute=1))).url)
    await say(client, **ask(model="claude-opus-4-8"))
    with pytest.raises(anthropic.RateLimitError):
        await say(client, **ask(model="claude-opus-4-7"))
    await say(client, **ask(model="claude-sonnet-5-5"))


async def test_keys_of_one_organization_share_a_bucket_and_others_do_not(serve: Serve, connect: Connect) -> None:
    url = serve(SimulatorConfig(limits=Limits(requests_per_minute=1))).url
    await say(connect(url, api_key="acme/one"), **ask())
    with pytest.raises(anthropic.RateLimitError):
        await say(connect(url, api_key="acme/two"), **ask())
    await say(connect(url, api_key="umbrella/one"), **ask())


async def test_limits_can_be_set_per_group(serve: Serve, connect: Connect) -> None:
    config = SimulatorConfig(limits_by_group={"haiku-5.5": Limits(requests_per_minute=7)})
    client = connect(serve(config).url)
    headers = await headers_of(client, **ask(model="claude-haiku-5-5"))
    assert headers["anthropic-ratelimit-requests-limit"] == "7"


async def test_a_refused_request_costs_nothing(serve: Serve, connect: Connect) -> None:
    running = serve(SimulatorConfig(limits=Limits(requests_per_minute=1)))
    client = connect(running.url)
    await say(client, **ask())
    with pytest.raises(anthropic.RateLimitError):
        await say(client, **ask())
    assert [entry.paid for entry in running.simulator.log.entries] == [True, False]


async def test_the_second_equal_prefix_is_read_from_the_cache(client: anthropic.AsyncAnthropic) -> None:
    system = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]
    first = (await say(client, **ask("One?", system=system))).usage
    second = (await say(client, **ask("Two, please?", system=system))).usage
    assert first.cache_creation_input_tokens == second.cache_read_input_tokens == 1800
    assert first.cache_creation.ephemeral_5m_input_tokens == 1800
    assert (first.cache_read_input_tokens, second.cache_creation_input_tokens) == (0, 0)
    assert second.input_tokens == len("Two, please?") / 4


async def test_an_automatic_marker_follows_a_growing_conversation(client: anthropic.AsyncAnthropic) -> None:
    request = ask(LONG, tools=[LOOK], cache_control={"type": "ephemeral", "ttl": "1h"})
    first = await say(client, **request)
    turn = [{"role": "assistant", "content": blocks(first)}, results(first, lambda *_: "seen")]
    second = await say(client, **altered(request, messages=[*request["messages"], *turn]))
    assert first.usage.cache_creation.ephemeral_1h_input_tokens == first.usage.cache_creation_input_tokens > 1800
    assert second.usage.cache_read_input_tokens == first.usage.cache_creation_input_tokens
    assert second.usage.cache_creation_input_tokens > 0
    assert second.usage.input_tokens == 0


async def test_cache_reads_are_free_for_the_input_limit(serve: Serve, connect: Connect) -> None:
    config = SimulatorConfig(limits=Limits(input_tokens_per_minute=4000))
    client = connect(serve(config).url)
    system = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]
    for number in range(5):
        await say(client, **ask(f"Question {number}?", system=system))
    with pytest.raises(anthropic.RateLimitError):
        await say(client, **ask("Again?", system=LONG + LONG))


async def test_five_breakpoints_are_a_400(client: anthropic.AsyncAnthropic) -> None:
    marked = [{"type": "text", "text": str(n), "cache_control": {"type": "ephemeral"}} for n in range(5)]
    with pytest.raises(anthropic.BadRequestError, match="Found 5"):
        await say(client, **ask(system=marked))


async def test_errors_carry_the_headers_too(sim: Running, client: anthropic.AsyncAnthropic) -> None:
    whole = await headers_of(client, **ask())
    names = {name for name in whole if name.startswith("anthropic-")}
    for fault in ("overloaded", "invalid_request", "enforced_spend_limit_reached", "server_error_html"):
        await control(sim, "POST", "faults", {"fault": fault, "times": 1})
        with pytest.raises(anthropic.APIStatusError) as raised:
            await say(client, **ask())
        assert {name for name in raised.value.response.headers if name.startswith("anthropic-")} == names


async def test_a_sharp_increase_is_refused_although_the_bucket_is_not_empty(serve: Serve, connect: Connect) -> None:
    limits = Limits(requests_per_minute=60, ramp=Ramp(seconds=10, start=0.2, factor=2))
    running = serve(SimulatorConfig(limits=limits, clock_speed=0))
    client = connect(running.url)
    for _ in range(2):
        await say(client, **ask())
    with pytest.raises(anthropic.RampLimitExceededError) as raised:
        await say(client, **ask())
    headers = raised.value.response.headers
    assert (headers["retry-after"], headers["anthropic-ratelimit-requests-remaining"]) == ("10", "58")
    await advance(running, 10)
    for _ in range(4):
        await say(client, **ask())
    with pytest.raises(anthropic.RampLimitExceededError):
        await say(client, **ask())


async def test_limits_can_be_changed_while_it_runs_for_one_organization(sim: Running, connect: Connect) -> None:
    acme, other = connect(sim.url, api_key="acme/one"), connect(sim.url, api_key="umbrella/one")
    limits = {"acme/sonnet-5.5": {"requests_per_minute": 7}}
    assert (await control(sim, "PATCH", "config", {"limits_by_group": limits})).status_code == 200
    shown = [(await headers_of(client, **ask()))["anthropic-ratelimit-requests-limit"] for client in (acme, other)]
    assert shown == ["7", "600000"]
    await control(sim, "PATCH", "config", {"limits_by_group": {"acme/sonnet-5.5": None}})
    assert (await headers_of(acme, **ask()))["anthropic-ratelimit-requests-limit"] == "600000"


@pytest.mark.parametrize("patch", [{"nonsense": 1}, {"limits": {"requests_per_minute": 0}}, []])
async def test_a_wrong_configuration_changes_nothing(sim: Running, patch: object) -> None:
    before = (await control(sim, "GET", "config")).json()
    assert (await control(sim, "PATCH", "config", patch)).status_code == 422
    assert (await control(sim, "GET", "config")).json() == before


async def test_counting_tokens_has_a_bucket_of_its_own(serve: Serve, connect: Connect) -> None:
    client = connect(serve(SimulatorConfig(counts_per_minute=1)).url)
    counted = {"model": "claude-opus-5", "messages": ask()["messages"]}
    await client.messages.count_tokens(**counted)
    with pytest.raises(anthropic.RateLimitError):
        await client.messages.count_tokens(**counted)
    await say(client, **ask(model="claude-opus-5"))


async def test_a_client_can_read_its_limits(serve: Serve, connect: Connect) -> None:
    config = SimulatorConfig(
        limits_by_group={
            "acme/haiku-5.5": Limits(requests_per_minute=7, input_tokens_per_minute=8, output_tokens_per_minute=9),
            "haiku-4.5": Limits(cache_reads_count=True),
        }
    )
    limits = connect(serve(config).url, api_key="acme/admin").organization.rate_limits
    rows = [row async for row in limits.list(limit=4)]
    assert [row.id for row in rows] == [row.id async for row in limits.list()]
    by_name = {row.group.display_name: row for row in rows if row.group.type == "model_group"}
    haiku = by_name["Claude Haiku 5.5"]
    assert {each.type: each.value for each in haiku.limits} == {
        "requests_per_minute": 7,
        "input_tokens_per_minute_cache_aware": 8,
        "output_tokens_per_minute": 9,
    }
    assert haiku.models == ["claude-haiku-5-5"]
    assert "input_tokens_per_minute" in {each.type for each in by_name["Claude Haiku 4.5"].limits}
    assert [row.group.type async for row in limits.list(group_type="batch")] == ["batch"]
    [opus] = [row async for row in limits.list(model="claude-opus-4-7")]
    assert {"claude-opus-4-8", "claude-opus-4-7"} <= set(opus.models or ())
    with pytest.raises(anthropic.NotFoundError):
        await limits.list(model="claude-nothing")
