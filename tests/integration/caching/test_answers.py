"""Answers of the model that are used again: several reasoners, each with its own shelf, over one real Redis."""

import asyncio
import json
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from redis.asyncio import Redis

from agentfleet.caching.answers import CachingReasoner, wanted
from agentfleet.caching.reuse import Reuse
from agentfleet.caching.shelf import Shelf
from agentfleet.domain.budget import Budget, Usage
from agentfleet.domain.errors import ProviderOverloaded
from agentfleet.domain.model import Bundle, Message
from agentfleet.domain.plan import Invalid, Rules, Turn, Valid
from agentfleet.engine.ports import Reasoned, ReasonRequest
from tests.scripted import answer, ask_for

REUSE = Reuse(ttl=timedelta(hours=1), tags=("catalogue",))
HELLO = Message(0, 0, "user", '[{"type":"text","text":"Hello."}]')


class Model:
    """Answers with ``turn`` once it may; every call is a new answer."""

    def __init__(self, turn: Turn | None = None) -> None:
        self.turn = turn
        self.calls = 0
        self.may = asyncio.Event()
        self.may.set()
        self.error: Exception | None = None

    async def reason(self, request: ReasonRequest, on_text: Callable[[str], None] | None) -> Reasoned:
        del request, on_text
        self.calls += 1
        said = self.turn or answer(f"answer {self.calls}")
        await self.may.wait()
        if self.error is not None:
            raise self.error
        return Reasoned(said, Usage(100, 20, cost_usd=Decimal("0.0125")), '{"input_tokens":100}', "req_1", "main")

    async def close(self) -> None: ...

    async def reach(self, calls: int) -> None:
        while self.calls < calls:  # noqa: ASYNC110
            await asyncio.sleep(0.002)


def rules(bundle: Bundle) -> Rules:
    return Rules("m", Budget(), {}, lambda text: Invalid("bad") if "bad" in text else Valid(text))


def ask(*said: Message, reuse: Reuse | None = REUSE, bundle: str = "b_1", **changes: Any) -> ReasonRequest:
    spec = {"cache_answers": None if reuse is None else reuse.to_json()}
    request = ReasonRequest(Bundle(bundle, "shop", spec), said or (HELLO,), 999, "r", "s", "m", tenant_id="acme")
    return replace(request, **changes)


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def fleet(redis: Redis, model: Model) -> list[CachingReasoner]:
    """Four processes that ask one model."""
    shelves = [Shelf(redis, prefix="test", patience=20, cap=1_000_000) for _ in range(4)]
    return [CachingReasoner(model, shelf, rules) for shelf in shelves]


async def test_of_all_who_ask_at_once_in_all_processes_one_pays(fleet: list[CachingReasoner], model: Model):
    model.may.clear()
    asking = [asyncio.create_task(one.reason(ask(), None)) for one in fleet for _ in range(25)]
    await model.reach(1)
    model.may.set()
    answers = await asyncio.gather(*asking)
    assert model.calls == 1
    assert {reasoned.turn.text for reasoned in answers} == {"answer 1"}
    assert sum(reasoned.usage.cost_usd for reasoned in answers) == Decimal("0.0125")
    assert sum(not reasoned.cached for reasoned in answers) == 1


async def test_a_hit_costs_nothing_says_what_it_saved_and_streams_its_text(fleet: list[CachingReasoner], model: Model):
    first = await fleet[0].reason(ask(), None)
    pieces: list[str] = []
    hit = await fleet[1].reason(ask(), pieces.append)
    assert hit.turn == first.turn
    assert (hit.usage, hit.account, hit.cached) == (Usage(), "main", True)
    assert json.loads(hit.usage_raw) == {"agentfleet": {"cache": "hit", "saved_usd": "0.0125", "request_id": "req_1"}}
    assert pieces == ["answer 1"]


async def test_a_turn_that_calls_tools_is_used_again_verbatim(redis: Redis):
    model = Model(ask_for("look", "look"))
    asking = [CachingReasoner(model, Shelf(redis, prefix="test", patience=9, cap=99_999), rules) for _ in range(2)]
    turns = [(await one.reason(ask(), None)).turn for one in asking]
    assert turns == [ask_for("look", "look")] * 2
    assert model.calls == 1


@pytest.mark.parametrize(
    "other",
    [
        ask(tenant_id="other"),
        ask(bundle="b_2"),
        ask(model="n"),
        ask(account="second"),
        ask(replace(HELLO, content='[{"type":"text","text":"Hello!"}]')),
        ask(replace(HELLO, turn=2)),
        ask(HELLO, Message(1, 0, "assistant", "[]")),
        ask(reuse=None),
    ],
    ids=["tenant", "bundle", "model", "account", "words", "turn", "more", "not asked for"],
)
async def test_another_question_gets_another_answer(fleet: list[CachingReasoner], model: Model, other: ReasonRequest):
    await fleet[0].reason(ask(), None)
    assert (await fleet[1].reason(other, None)).turn.text == "answer 2"
    assert (await fleet[1].reason(ask(), None)).turn.text == "answer 1"


async def test_without_being_asked_for_nothing_is_kept(fleet: list[CachingReasoner], model: Model, redis: Redis):
    for _ in range(2):
        await fleet[0].reason(ask(reuse=None), None)
    assert (model.calls, await redis.keys("*")) == (2, [])


async def test_the_room_for_the_answer_is_no_part_of_the_question(fleet: list[CachingReasoner], model: Model):
    await fleet[0].reason(ask(), None)
    assert (await fleet[1].reason(ask(max_tokens=5, run_id="r2", step_id="s2"), None)).cached


async def test_scope_all_shares_between_tenants_and_scope_tenant_never_does(fleet: list[CachingReasoner], model: Model):
    shared = Reuse(ttl=timedelta(hours=1), scope="all")
    await fleet[0].reason(ask(), None)
    assert not (await fleet[1].reason(ask(reuse=shared), None)).cached
    assert (await fleet[2].reason(ask(reuse=shared, tenant_id="other"), None)).cached
    assert not (await fleet[2].reason(ask(tenant_id="other"), None)).cached


def test_no_two_tenants_ask_for_the_same_thing():
    digests = {wanted(ask(tenant_id=tenant), REUSE).digest for tenant in ("", "a", "b", "ab", "a:b", "tenant")}
    assert len(digests) == 6


@pytest.mark.parametrize(
    "turn",
    [
        Turn("max_tokens", "[]", "half"),
        Turn("refusal", "[]", ""),
        Turn("pause_turn", "[]", ""),
        Turn("tool_use", "[]", ""),
        answer("bad"),
    ],
    ids=["cut off", "refusal", "pause", "no tool in it", "not a valid output"],
)
async def test_a_turn_that_is_not_complete_or_not_right_is_not_kept(redis: Redis, turn: Turn):
    model = Model(turn)
    one = CachingReasoner(model, Shelf(redis, prefix="test", patience=9, cap=99_999), rules)
    for _ in range(2):
        assert not (await one.reason(ask(), None)).cached
    assert model.calls == 2


async def test_a_call_that_fails_is_made_by_the_next_who_waits(fleet: list[CachingReasoner], model: Model):
    model.may.clear()
    model.error = ProviderOverloaded("later")
    asking = [asyncio.create_task(one.reason(ask(), None)) for one in fleet]
    await model.reach(1)
    model.may.set()
    await model.reach(2)
    model.error = None
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert any(isinstance(one, ProviderOverloaded) for one in answers)
    assert (await fleet[0].reason(ask(), None)).turn.text == f"answer {model.calls}"


LEADER = """
import asyncio, sys
from redis.asyncio import Redis
from agentfleet.caching.shelf import Shelf
from tests.integration.caching.test_answers import REUSE, ask, wanted

async def main():
    async with Redis.from_url(sys.argv[1]) as redis:
        async with Shelf(redis, prefix="test", patience=9, cap=99_999).look(wanted(ask(), REUSE)) as place:
            print(place.value, flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_killed_leader_is_followed_within_seconds(redis_url: str, fleet: list[CachingReasoner], model: Model):
    leader = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LEADER, redis_url, stdout=asyncio.subprocess.PIPE
    )
    assert leader.stdout is not None
    assert await leader.stdout.readline() == b"None\n"
    asking = [asyncio.create_task(one.reason(ask(), None)) for one in fleet]
    leader.send_signal(signal.SIGKILL)
    await leader.wait()
    answers = await asyncio.gather(*asking)
    assert model.calls == 1
    assert sum(reasoned.cached for reasoned in answers) == 3


async def test_who_waited_long_enough_asks_for_itself(redis: Redis, fleet: list[CachingReasoner], model: Model):
    hasty = CachingReasoner(model, Shelf(redis, prefix="test", patience=0.05, cap=99_999), rules)
    model.may.clear()
    slow = asyncio.create_task(fleet[0].reason(ask(), None))
    await model.reach(1)
    other = asyncio.create_task(hasty.reason(ask(), None))
    await model.reach(2)
    model.may.set()
    assert not (await other).cached
    assert not (await slow).cached


@pytest.mark.parametrize("label", ["bundle:b_1", "agent:shop", "tag:catalogue", "tenant:acme"])
async def test_an_answer_that_was_made_void_is_not_used_again(
    redis: Redis, fleet: list[CachingReasoner], model: Model, label: str
):
    await fleet[0].reason(ask(), None)
    await Shelf(redis, prefix="test", patience=9, cap=99_999).invalidate([label])
    assert (await fleet[1].reason(ask(), None)).turn.text == "answer 2"


async def test_without_redis_every_question_is_asked(model: Model):
    async with Redis.from_url("redis://127.0.0.1:9") as gone:
        one = CachingReasoner(model, Shelf(gone, prefix="test", patience=20, cap=99_999), rules)
        assert [(await one.reason(ask(), None)).cached for _ in range(3)] == [False] * 3
