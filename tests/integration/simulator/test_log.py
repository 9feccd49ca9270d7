"""What the log and the meters say, so that a test can assert it."""

import asyncio

import anthropic
import pytest

from agentfleet.simulator.config import Limits, SimulatorConfig
from agentfleet.simulator.serve import Running
from tests.integration.simulator.conftest import Connect, Serve
from tests.integration.simulator.talk import advance, ask, control, eventually, say, stand_still, told


@pytest.fixture
async def narrow(serve: Serve) -> Running:
    """One request a minute, on a clock that stands."""
    return serve(SimulatorConfig(limits=Limits(requests_per_minute=1), clock_speed=0))


async def refuse(client: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.RateLimitError):
        await say(client, **ask())


async def test_a_call_before_its_retry_after_is_early_and_one_after_it_is_not(
    narrow: Running, connect: Connect
) -> None:
    client = connect(narrow.url)
    await say(client, **ask())
    await refuse(client)
    await advance(narrow, 59)
    await refuse(client)
    await advance(narrow, 1)
    await say(client, **ask())
    calls = (await told(narrow, "requests"))["requests"]
    assert [call["retry_after"] for call in calls] == [None, 60, 1, None]
    [early] = (await told(narrow, "early"))["early"]
    assert (early["id"], early["refusal"]) == (calls[2]["id"], calls[1]["id"])
    assert (early["not_before"], early["since_refusal"]) == (calls[1]["ended_at"] + 60, 59)
    assert (await told(narrow, "early", grace=1))["early"] == []


async def test_a_call_for_another_bucket_or_organization_is_not_early(narrow: Running, connect: Connect) -> None:
    client = connect(narrow.url, api_key="acme/one")
    await say(client, **ask())
    await refuse(client)
    await say(client, **ask(model="claude-opus-5"))
    await say(connect(narrow.url, api_key="umbrella/one"), **ask())
    assert (await told(narrow, "early"))["early"] == []
    await refuse(connect(narrow.url, api_key="acme/two"))
    assert len((await told(narrow, "early"))["early"]) == 1


@pytest.mark.parametrize(
    ("fault", "seconds"), [("rate_limited_ms", 1.5), ("rate_limited_date", 30), ("rate_limited_bare", None)]
)
async def test_every_dialect_of_retry_after_is_read_into_seconds(
    sim: Running, connect: Connect, fault: str, seconds: float | None
) -> None:
    await stand_still(sim)
    await refuse(connect(f"{sim.url}/s/{fault}"))
    [call] = (await told(sim, "requests"))["requests"]
    assert call["retry_after"] == (seconds if seconds is None else pytest.approx(seconds, abs=1))


async def test_the_log_filters_by_time_and_field_and_by_run_and_step(
    sim: Running, client: anthropic.AsyncAnthropic
) -> None:
    await stand_still(sim)
    for run, step in (("r1", "s1"), ("r1", "s2"), ("r2", "s3")):
        await say(client, **ask(), extra_headers={"x-agentfleet-run": run, "x-agentfleet-step": step})
        await advance(sim, 10)
    now = (await told(sim, "clock"))["now"]

    async def steps(**query: object) -> list[str]:
        rows = (await told(sim, "requests", **query))["requests"]
        return [row["tags"]["x-agentfleet-step"] for row in rows]

    assert await steps(run="r1") == ["s1", "s2"]
    assert await steps(step="s3", status=200, paid="true") == ["s3"]
    assert await steps(since=now - 20) == ["s2", "s3"]
    assert await steps(outcome="failed") == []
    assert await steps(limit=1) == ["s3"]
    assert (await control(sim, "GET", "requests", nonsense=1)).status_code == 422


async def test_the_log_says_who_was_charged_what_and_why_not(narrow: Running, connect: Connect) -> None:
    client = connect(narrow.url, api_key="acme/one")
    usage = (await say(client, **ask())).usage
    await refuse(client)
    paid, refused = (await told(narrow, "requests"))["requests"]
    assert (paid["organization"], paid["bucket"], paid["error"]) == ("acme", "sonnet-5.5", None)
    assert paid["charged"] == {
        "requests": 1,
        "input-tokens": usage.input_tokens,
        "output-tokens": usage.output_tokens,
    }
    assert (refused["error"], refused["charged"], refused["paid"]) == ("rate_limit_error", {}, False)
    assert (await told(narrow, "stats"))["by_error"] == {"rate_limit_error": 1}


async def test_the_same_conversation_has_the_same_input_whatever_the_parameters(
    sim: Running, client: anthropic.AsyncAnthropic
) -> None:
    await say(client, **ask())
    await say(client, stream=False, **ask(max_tokens=7))
    await say(client, **ask("Something else."))
    one, same, other = [entry.input for entry in sim.simulator.log.entries]
    assert one == same != other


async def test_a_call_under_way_has_begun_to_speak_before_it_ends(serve: Serve, connect: Connect) -> None:
    running = serve(SimulatorConfig(first_token_ms=5000, token_ms=1000, clock_speed=0))
    entries = running.simulator.log.entries
    call = asyncio.create_task(say(connect(running.url), **ask()))
    await eventually(lambda: any(entry.status == 200 for entry in entries))
    assert (entries[0].spoke_at, entries[0].ended_at) == (None, None)
    await advance(running, 5)
    await eventually(lambda: entries[0].spoke_at is not None)
    assert entries[0].ended_at is None
    await advance(running, 3600)
    await call
    await eventually(lambda: entries[0].ended_at is not None)
    assert entries[0].at + 5 == entries[0].spoke_at


async def test_utilisation_says_what_was_used_of_each_limit_in_a_window(serve: Serve, connect: Connect) -> None:
    limits = Limits(requests_per_minute=4, input_tokens_per_minute=6000, output_tokens_per_minute=6000)
    running = serve(SimulatorConfig(limits=limits, burst_seconds=15, clock_speed=0))
    client = connect(running.url, api_key="acme/one")
    start = (await told(running, "clock"))["now"]
    used = 0
    for _ in range(4):
        used += (await say(client, **ask())).usage.output_tokens
        await refuse(client)
        await advance(running, 15)
    [pool] = (await told(running, "utilisation", since=start))["pools"]
    assert (pool["organization"], pool["group"], pool["seconds"]) == ("acme", "sonnet-5.5", 60)
    assert (pool["binding"], pool["rate_limited"], pool["ramp_limited"]) == ("requests", 4, 0)
    requests, output = pool["buckets"]["requests"], pool["buckets"]["output_tokens"]
    assert (requests["used"], requests["allowed"], requests["share"], requests["spilled"]) == (4, 4, 1, 0)
    assert (output["used"], output["share"]) == (used, used / 6000)


@pytest.mark.parametrize("window", [{"since": 0}, {"since": "x"}, {"until": 9e9}])
async def test_a_window_that_is_not_there_is_refused(sim: Running, window: dict[str, object]) -> None:
    assert (await control(sim, "GET", "utilisation", **window)).status_code == 422
