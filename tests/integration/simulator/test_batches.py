"""Message Batches through the SDK, on a clock that the test moves."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import anthropic
import httpx2
import pytest

from agentfleet.simulator.config import BatchRules, SimulatorConfig
from agentfleet.simulator.serve import Running
from tests.integration.simulator.conftest import Connect, Serve
from tests.integration.simulator.talk import MODEL, advance, ask, control, say, stand_still, told

DAY = 86_400


@pytest.fixture(autouse=True)
async def _still(sim: Running) -> AsyncIterator[None]:
    await stand_still(sim)
    yield
    await control(sim, "POST", "reset")


def row(custom_id: str, text: str = "Say hello.", **more: Any) -> Any:
    return {"custom_id": custom_id, "params": ask(text, **more)}


def rows(count: int) -> list[Any]:
    return [row(f"request-{number}", f"Number {number}") for number in range(count)]


async def results_of(client: anthropic.AsyncAnthropic, id_: str) -> dict[str, Any]:
    return {line.custom_id: line.result async for line in await client.messages.batches.results(id_)}


async def test_a_batch_is_in_process_until_its_last_request_is_answered(
    sim: Running, client: anthropic.AsyncAnthropic
) -> None:
    batch = await client.messages.batches.create(requests=rows(5))
    assert (batch.processing_status, batch.request_counts.processing) == ("in_progress", 5)
    assert (batch.results_url, batch.ended_at, batch.expires_at) == (None, None, batch.created_at + timedelta(days=1))
    await advance(sim, 59)
    batch = await client.messages.batches.retrieve(batch.id)
    assert (batch.processing_status, batch.request_counts.succeeded) == ("in_progress", 0), "counts come at the end"
    await advance(sim, 1)
    batch = await client.messages.batches.retrieve(batch.id)
    assert (batch.processing_status, batch.request_counts.succeeded) == ("ended", 5)
    assert batch.ended_at == batch.created_at + timedelta(minutes=1)


async def test_results_come_in_another_order_than_the_requests(sim: Running, client: anthropic.AsyncAnthropic) -> None:
    batch = await client.messages.batches.create(requests=rows(20))
    await advance(sim, 60)
    found = await results_of(client, batch.id)
    asked = [each["custom_id"] for each in rows(20)]
    assert sorted(found) == sorted(asked)
    assert list(found) != asked


async def test_a_batch_is_answered_like_a_call_and_marked_as_half_price(
    sim: Running, client: anthropic.AsyncAnthropic
) -> None:
    batch = await client.messages.batches.create(requests=[row("one", "Hello there")])
    await advance(sim, 60)
    result = (await results_of(client, batch.id))["one"]
    direct = await say(client, stream=False, **ask("Hello there"))
    assert result.type == "succeeded"
    assert result.message.content == direct.content
    assert (result.message.usage.service_tier, direct.usage.service_tier) == ("batch", "standard")
    assert result.message.usage.output_tokens == direct.usage.output_tokens


async def test_results_are_not_there_before_the_end(client: anthropic.AsyncAnthropic) -> None:
    batch = await client.messages.batches.create(requests=rows(1))
    with pytest.raises(anthropic.AnthropicError, match="No `results_url`"):
        await client.messages.batches.results(batch.id)


async def test_a_request_that_is_wrong_fails_alone(sim: Running, client: anthropic.AsyncAnthropic) -> None:
    wrong = [row("model", model="claude-nothing"), row("stream", stream=True), row("empty", messages=[])]
    batch = await client.messages.batches.create(requests=[row("good"), *wrong, row("none", max_tokens=0)])
    await advance(sim, 60)
    found = await results_of(client, batch.id)
    kinds = {id_: result.error.error.type for id_, result in found.items() if result.type == "errored"}
    invalid = "invalid_request_error"
    assert kinds == {"model": "not_found_error", "stream": invalid, "empty": invalid, "none": invalid}
    counts = (await client.messages.batches.retrieve(batch.id)).request_counts
    assert (counts.succeeded, counts.errored, counts.processing) == (1, 4, 0)


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        ([], "at least one request"),
        ([row("a"), row("b"), row("a")], r"requests.2.custom_id: 'a' is not unique"),
        ([row("not good")], "requests.0.custom_id: String should match pattern"),
        ([row("x" * 65)], "should match pattern"),
        ([{"custom_id": "a"}], r"requests.0.params: Field required"),
    ],
)
async def test_a_batch_that_is_wrong_is_refused_whole(
    client: anthropic.AsyncAnthropic, requests: Any, message: str
) -> None:
    with pytest.raises(anthropic.BadRequestError, match=message):
        await client.messages.batches.create(requests=requests)
    assert [batch async for batch in client.messages.batches.list()] == []


async def test_what_nobody_got_to_expires_after_a_day_and_is_not_paid(
    sim: Running, client: anthropic.AsyncAnthropic
) -> None:
    match = {"endpoint": "batch_item", "contains": "Number 1"}
    await control(sim, "POST", "faults", {"fault": "stall_before_headers", "match": match})
    batch = await client.messages.batches.create(requests=rows(3))
    await advance(sim, DAY - 1)
    assert (await client.messages.batches.retrieve(batch.id)).processing_status == "in_progress"
    await advance(sim, 1)
    batch = await client.messages.batches.retrieve(batch.id)
    assert (batch.processing_status, batch.ended_at) == ("ended", batch.expires_at)
    assert (batch.request_counts.succeeded, batch.request_counts.expired) == (2, 1)
    assert (await results_of(client, batch.id))["request-1"].type == "expired"
    assert (await told(sim, "stats"))["paid"] == 2


async def test_a_fault_for_the_requests_of_a_batch_errors_them_and_spares_the_call(
    sim: Running, client: anthropic.AsyncAnthropic
) -> None:
    await control(sim, "POST", "faults", {"fault": "overloaded", "match": {"endpoint": "batch_item"}, "times": 2})
    batch = await client.messages.batches.create(requests=rows(5))
    await advance(sim, 60)
    found = [result for result in (await results_of(client, batch.id)).values() if result.type == "errored"]
    assert [result.error.error.type for result in found] == ["overloaded_error"] * 2


async def test_a_canceled_batch_finishes_what_was_under_way(sim: Running, client: anthropic.AsyncAnthropic) -> None:
    batch = await client.messages.batches.create(requests=rows(20))
    await advance(sim, 30)
    batch = await client.messages.batches.cancel(batch.id)
    assert (batch.processing_status, batch.cancel_initiated_at) == ("canceling", batch.created_at + timedelta(0, 30))
    await advance(sim, 2)
    batch = await client.messages.batches.retrieve(batch.id)
    counts = batch.request_counts
    assert batch.processing_status == "ended"
    assert counts.succeeded > 0
    assert counts.canceled > 0
    assert counts.succeeded + counts.canceled == 20
    kinds = [result.type for result in (await results_of(client, batch.id)).values()]
    assert kinds.count("canceled") == counts.canceled


async def test_only_an_ended_batch_can_be_deleted(sim: Running, client: anthropic.AsyncAnthropic) -> None:
    batch = await client.messages.batches.create(requests=rows(1))
    with pytest.raises(anthropic.BadRequestError, match="still processing"):
        await client.messages.batches.delete(batch.id)
    await advance(sim, 60)
    assert (await client.messages.batches.delete(batch.id)).type == "message_batch_deleted"
    with pytest.raises(anthropic.NotFoundError):
        await client.messages.batches.retrieve(batch.id)


async def test_the_list_is_newest_first_in_pages_and_per_organization(sim: Running, connect: Connect) -> None:
    acme, other = connect(sim.url, api_key="acme/one"), connect(sim.url, api_key="umbrella/one")
    made = [(await acme.messages.batches.create(requests=rows(1))).id for _ in range(5)]
    mates = connect(sim.url, api_key="acme/two").messages.batches
    assert [batch.id async for batch in mates.list(limit=2)] == made[::-1]
    before = await mates.list(limit=2, before_id=made[0])
    assert [batch.id for batch in before.data] == [made[2], made[1]]
    assert [batch async for batch in other.messages.batches.list()] == []
    with pytest.raises(anthropic.NotFoundError):
        await other.messages.batches.retrieve(made[0])
    with pytest.raises(anthropic.BadRequestError, match="limit"):
        await acme.messages.batches.list(limit=1001)


async def test_a_batch_whose_answer_was_lost_is_found_again_by_its_custom_ids(
    sim: Running, client: anthropic.AsyncAnthropic
) -> None:
    await client.messages.batches.create(requests=[row("somebody-elses")])
    await control(sim, "POST", "faults", {"fault": "lost_answer", "match": {"endpoint": "batches"}, "times": 1})
    with pytest.raises(anthropic.APIConnectionError):
        await client.messages.batches.create(requests=[row("mine-1"), row("mine-2")])
    await advance(sim, 60)
    listed = [batch.id async for batch in client.messages.batches.list()]
    owners = [id_ for id_ in listed if "mine-1" in await results_of(client, id_)]
    assert (len(listed), owners) == (2, listed[:1])


async def test_a_batch_whose_request_was_lost_never_came_to_be(sim: Running, connect: Connect) -> None:
    with pytest.raises(anthropic.APIConnectionError):
        await connect(f"{sim.url}/s/reset_before_headers").messages.batches.create(requests=rows(1))
    assert [batch async for batch in connect(sim.url).messages.batches.list()] == []


async def test_results_that_break_off_can_be_read_again(sim: Running, client: anthropic.AsyncAnthropic) -> None:
    batch = await client.messages.batches.create(requests=rows(50))
    await advance(sim, 60)
    for fault, error in (("stream_truncated", json.JSONDecodeError), ("stream_reset", httpx2.TransportError)):
        await control(sim, "POST", "faults", {"fault": fault, "match": {"endpoint": "batch_results"}, "times": 1})
        with pytest.raises(error):
            await results_of(client, batch.id)
    assert len(await results_of(client, batch.id)) == 50


async def test_a_base_url_bends_what_is_said_in_its_batches(sim: Running, connect: Connect) -> None:
    client = connect(f"{sim.url}/s/refusal")
    batch = await client.messages.batches.create(requests=rows(1))
    await advance(sim, 60)
    [result] = (await results_of(client, batch.id)).values()
    assert result.message.stop_reason == "refusal"


async def test_results_are_kept_for_29_days(sim: Running, client: anthropic.AsyncAnthropic) -> None:
    batch = await client.messages.batches.create(requests=rows(1))
    await advance(sim, 29 * DAY)
    batch = await client.messages.batches.retrieve(batch.id)
    assert (batch.results_url, batch.archived_at) == (None, batch.created_at + timedelta(days=29))


async def test_calls_of_the_batch_endpoints_have_a_bucket_of_their_own(serve: Serve, connect: Connect) -> None:
    running = serve(SimulatorConfig(batches=BatchRules(calls_per_minute=1), clock_speed=0))
    client = connect(running.url)
    await client.messages.batches.create(requests=rows(1))
    with pytest.raises(anthropic.RateLimitError) as raised:
        await client.messages.batches.list()
    headers = raised.value.response.headers
    assert headers["retry-after"] == "60"
    assert headers["anthropic-ratelimit-requests-limit"] == "1"
    await say(client, **ask())


async def test_the_queue_of_an_organization_is_limited(serve: Serve, connect: Connect) -> None:
    running = serve(SimulatorConfig(batches=BatchRules(queue=3), clock_speed=0))
    client = connect(running.url, api_key="acme/one")
    await client.messages.batches.create(requests=rows(2))
    with pytest.raises(anthropic.RateLimitError) as raised:
        await client.messages.batches.create(requests=rows(2))
    assert raised.value.response.headers["retry-after"] == "60"
    await connect(running.url, api_key="umbrella/one").messages.batches.create(requests=rows(2))
    await advance(running, 60)
    await client.messages.batches.create(requests=rows(2))


async def test_a_batch_takes_nothing_from_the_buckets_of_its_models(
    sim: Running, client: anthropic.AsyncAnthropic
) -> None:
    await client.messages.batches.create(requests=rows(10))
    await advance(sim, 60)
    await client.messages.batches.list()
    pools = (await told(sim, "utilisation"))["pools"]
    assert [pool["group"] for pool in pools] == ["batch"]


async def test_the_log_holds_each_request_of_a_batch_with_its_input(
    sim: Running, client: anthropic.AsyncAnthropic
) -> None:
    await say(client, **ask("The same"))
    batch = await client.messages.batches.create(requests=[row("a", "The same"), row("b", "Another")])
    await advance(sim, 60)
    [direct] = (await told(sim, "requests", endpoint="messages"))["requests"]
    items = (await told(sim, "requests", endpoint="batch_item", batch=batch.id))["requests"]
    by_id = {item["custom_id"]: item for item in items}
    assert by_id["a"]["input"] == direct["input"] != by_id["b"]["input"]
    assert all(item["paid"] and item["model"] == MODEL for item in items)
    assert {item["usage"]["service_tier"] for item in items} == {"batch"}


async def test_one_custom_id_paid_in_two_batches_counts_as_paid_twice(
    sim: Running, client: anthropic.AsyncAnthropic
) -> None:
    await client.messages.batches.create(requests=[row("a")])
    await client.messages.batches.create(requests=[row("a"), row("b")])
    await advance(sim, 60)
    stats = await told(sim, "stats")
    assert (stats["paid"], stats["duplicate_paid"]) == (3, 1)
