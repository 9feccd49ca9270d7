"""/sim/, scripts, the model list and the process."""

import json
import subprocess
import sys
from typing import Any

import anthropic
import pytest

from agentfleet.simulator.faults import MENU
from agentfleet.simulator.serve import Running
from tests.integration.simulator.conftest import Connect
from tests.integration.simulator.talk import LOOK, altered, ask, blocks, control, converse, results, say


async def test_health_answers(sim: Running) -> None:
    assert (await control(sim, "GET", "health")).json() == {"status": "ok"}


async def test_an_armed_fault_goes_off_as_often_as_ordered(sim: Running, client: anthropic.AsyncAnthropic) -> None:
    assert (await control(sim, "POST", "faults", {"fault": "overloaded", "times": 2})).status_code == 201
    for _ in range(2):
        with pytest.raises(anthropic.OverloadedError):
            await say(client, **ask())
    assert (await say(client, **ask())).stop_reason == "end_turn"


async def test_a_fault_hits_only_what_it_matches(sim: Running, client: anthropic.AsyncAnthropic) -> None:
    match = {"contains": "needle", "model": "claude-opus-5", "turn": 0}
    await control(sim, "POST", "faults", {"fault": "server_error", "match": match})
    await say(client, **ask("needle"))
    await say(client, **ask("hay", model="claude-opus-5"))
    with pytest.raises(anthropic.InternalServerError):
        await say(client, **ask("needle", model="claude-opus-5"))


async def test_clearing_disarms(sim: Running, client: anthropic.AsyncAnthropic) -> None:
    await control(sim, "POST", "faults", {"fault": "overloaded"})
    assert (await control(sim, "DELETE", "faults")).status_code == 204
    await say(client, **ask())


async def test_the_same_seed_draws_the_same_chances(sim: Running, client: anthropic.AsyncAnthropic) -> None:
    async def draw() -> list[str]:
        await control(sim, "POST", "reset")
        await control(sim, "POST", "faults", {"fault": "refusal", "probability": 0.5})
        return [(await say(client, **ask())).stop_reason for _ in range(12)]

    first = await draw()
    assert first == await draw()
    assert set(first) == {"refusal", "end_turn"}


@pytest.mark.parametrize(
    ("order", "status"),
    [({"fault": "nonsense"}, 404), ({"fault": "overloaded", "times": 0}, 422), ({"fall": "overloaded"}, 422)],
)
async def test_a_wrong_order_is_refused(sim: Running, order: dict[str, Any], status: int) -> None:
    assert (await control(sim, "POST", "faults", order)).status_code == status
    assert (await control(sim, "GET", "faults")).json()["armed"] == []


async def test_the_menu_is_listed(sim: Running) -> None:
    menu = (await control(sim, "GET", "faults")).json()["menu"]
    assert {row["name"]: row["says"] for row in menu} == {name: fault.says for name, fault in MENU.items()}


async def test_a_repeated_body_counts_as_paid_twice(sim: Running, client: anthropic.AsyncAnthropic) -> None:
    for text in ("one", "two", "one"):
        await say(client, **ask(text))
    stats = (await control(sim, "GET", "stats")).json()
    assert (stats["paid"], stats["duplicate_paid"]) == (3, 1)


async def test_calls_with_different_tags_are_not_duplicates(sim: Running, client: anthropic.AsyncAnthropic) -> None:
    for run in ("r1", "r2"):
        await say(client, **ask(), extra_headers={"x-agentfleet-run": run})
    assert (await control(sim, "GET", "stats")).json()["duplicate_paid"] == 0


async def test_the_log_says_what_was_asked_and_what_came_of_it(sim: Running, client: anthropic.AsyncAnthropic) -> None:
    message = await say(client, **ask(), extra_headers={"x-agentfleet-step": "s1"})
    [entry] = (await control(sim, "GET", "requests")).json()["requests"]
    assert entry["status"] == 200
    assert entry["outcome"] == "completed"
    assert entry["tags"] == {"x-agentfleet-step": "s1"}
    assert entry["attempt"] == 0
    assert entry["usage"]["output_tokens"] == message.usage.output_tokens
    assert "sim" not in entry["key"], "a key is logged as a digest only"


async def test_the_log_counts_the_sdks_own_retries(sim: Running, connect: Connect) -> None:
    fault = {"fault": "should_retry", "times": 1}
    await control(sim, "POST", "faults", fault)
    await say(connect(sim.url, max_retries=1), **ask())
    assert [entry.attempt for entry in sim.simulator.log.entries] == [0, 1]


async def test_reset_forgets_everything(sim: Running, client: anthropic.AsyncAnthropic) -> None:
    await say(client, **ask())
    await control(sim, "POST", "faults", {"fault": "overloaded"})
    await control(sim, "POST", "reset")
    assert (await control(sim, "GET", "stats")).json()["requests"] == 0
    await say(client, **ask())


SCRIPT = {
    "name": "door",
    "turns": [
        {"blocks": ["Let me look.", {"type": "tool_use", "name": "look", "input": {"place": "door"}}]},
        {"blocks": ["It is open."], "usage": {"output_tokens": 777}},
    ],
}


@pytest.mark.parametrize("how", ["url", "system", "user"])
async def test_a_script_decides_every_turn(sim: Running, connect: Connect, how: str) -> None:
    assert (await control(sim, "POST", "scripts", SCRIPT)).status_code == 201
    client = connect(f"{sim.url}/s/script:door" if how == "url" else sim.url)
    request = ask("Go. sim-script:door" if how == "user" else "Go.", tools=[LOOK])
    if how == "system":
        request["system"] = "You are a guard (sim-script:door)."
    said = await converse(client, lambda *_: "seen", **request)
    assert [message.content[0].text for message in said] == ["Let me look.", "It is open."]
    assert said[0].content[1].input == {"place": "door"}
    assert said[1].usage.output_tokens == 777


async def test_a_scripted_conversation_with_thinking_stays_valid(sim: Running, connect: Connect) -> None:
    await control(sim, "POST", "scripts", SCRIPT)
    client = connect(f"{sim.url}/s/script:door")
    said = await converse(client, lambda *_: "seen", **ask(tools=[LOOK], thinking={"type": "adaptive"}))
    assert [block.type for block in said[0].content] == ["thinking", "text", "tool_use"]


async def test_past_its_end_a_script_says_so(sim: Running, connect: Connect) -> None:
    await control(sim, "POST", "scripts", {"name": "short", "turns": [{"blocks": ["Once."]}]})
    client = connect(f"{sim.url}/s/script:short")
    first = await say(client, **ask())
    history = [*ask()["messages"], {"role": "assistant", "content": blocks(first)}, {"role": "user", "content": "And?"}]
    assert (await say(client, **altered(ask(), messages=history))).content[0].text.endswith("no turn 1.")


async def test_an_unknown_script_is_a_404(sim: Running, connect: Connect) -> None:
    with pytest.raises(anthropic.NotFoundError, match="no script named 'ghost'"):
        await say(connect(f"{sim.url}/s/script:ghost"), **ask())


async def test_the_model_list_validates_filters_and_pages(client: anthropic.AsyncAnthropic) -> None:
    default = [model async for model in client.models.list(limit=4)]
    assert {model.lifecycle for model in default} == {"active", "deprecated"}
    retired = [model async for model in client.models.list(lifecycle=["retired"])]
    assert [model.id for model in retired] == ["claude-opus-4-0"]
    assert len({model.id for model in default}) == len(default) > 10


async def test_one_model_can_be_read_and_a_missing_one_is_a_404(client: anthropic.AsyncAnthropic) -> None:
    card = await client.models.retrieve("claude-sonnet-5-5")
    assert (card.display_name, card.line) == ("Claude Sonnet 5.5", "sonnet")
    with pytest.raises(anthropic.NotFoundError):
        await client.models.retrieve("claude-nothing")


async def test_the_process_prints_its_url_once_it_serves(connect: Connect) -> None:
    with subprocess.Popen(  # noqa: ASYNC220  # it must outlive this statement, and starts once
        [sys.executable, "-m", "agentfleet.simulator", "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"]
            assert (await say(connect(url), **ask())).stop_reason == "end_turn"
        finally:
            process.terminate()
    assert process.returncode in {0, -15}


async def test_answering_a_tool_call_twice_is_a_400(client: anthropic.AsyncAnthropic) -> None:
    request = ask(tools=[LOOK])
    message = await say(client, **request)
    answer = results(message, lambda *_: "seen")
    answer["content"] *= 2
    history = [*request["messages"], {"role": "assistant", "content": blocks(message)}, answer]
    with pytest.raises(anthropic.BadRequestError, match="single result"):
        await say(client, **altered(request, messages=history))
