"""Which model each turn of a run is for, and who stands in: whole runs on a real database."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import pytest

from agentfleet.domain.budget import Budget
from agentfleet.domain.errors import ProviderModelUnknown, ProviderOverloaded, StepError
from agentfleet.domain.model import Bundle
from agentfleet.domain.plan import Rules, ToolUse, Turn
from agentfleet.domain.routing import Route
from agentfleet.engine.ports import Reasoned, ReasonRequest
from tests.factories import EFFECTS, MODEL, submit, tally
from tests.scripted import USAGE, Script, Tools, Worker, _any_output, answer, ask_for

pytestmark = pytest.mark.usefixtures("invariants_hold")

SMALL, OTHER, THIRD = "claude-small", "claude-other", "claude-third"
REFUSAL = Turn("refusal", '[{"type":"text","text":"No."}]', "No.")
HUGE = ToolUse("toolu_1", "look", '{"n": 12345678901234567890123,  "x": 1.50}')


def thinking(turn: Turn) -> Turn:
    """The same, after some thought."""
    block = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    return Turn(turn.stop_reason, json.dumps([block, *json.loads(turn.content)]), turn.text, turn.tool_uses)


@dataclass
class Models(Script):
    """Every model says the same ``turns``, but those that fail: ``broken`` by name."""

    broken: Mapping[str, Callable[[], StepError]] = field(default_factory=dict)
    refuse: tuple[str, ...] = ()
    asked: list[str] = field(default_factory=list)

    async def reason(self, request: ReasonRequest, on_text: Callable[[str], None] | None) -> Reasoned:
        self.asked.append(request.model)
        if request.model in self.broken:
            error = self.broken[request.model]()
            raise error
        if request.model in self.refuse:
            return Reasoned(REFUSAL, USAGE)
        return await super().reason(request, on_text)


@dataclass
class Routed(Tools):
    """Tools of an agent with these routes and fallbacks."""

    routes: tuple[Route, ...] = ()
    fallbacks: tuple[str, ...] = ()

    def rules(self, bundle: Bundle) -> Rules:
        return Rules(bundle.spec["model"], Budget(), EFFECTS, _any_output, self.routes, self.fallbacks)


async def run(db, bells, model: Models, *routes: Route, fallbacks: tuple[str, ...] = ()):
    accepted = await submit(db)
    worker = Worker(db, bells, model, Routed(routes=routes, fallbacks=fallbacks))
    await worker.execute(accepted.step_id)
    await worker.work()
    return await tally(db, accepted.run_id)


async def test_each_turn_is_for_the_model_of_its_route(db, bells):
    model = Models([ask_for("look", "look"), ask_for("book"), ask_for("look", "book"), answer()])
    found = await run(db, bells, model, Route(model=SMALL, after_tool="look"))
    assert model.asked == [MODEL, SMALL, MODEL, MODEL]
    assert found.run.state == "succeeded"
    assert [step.name for step in found.steps if step.kind == "reason"] == model.asked, "and the steps say so"


async def test_a_run_is_pinned_to_the_account_that_answered(db, bells):
    asked: list[str | None] = []

    class Answers(Models):
        async def reason(self, request, on_text):
            asked.append(request.account)
            return replace(await super().reason(request, on_text), account=f"account-{len(asked)}")

    found = await run(db, bells, Answers([ask_for("look"), ask_for("look"), answer()]))
    assert asked == [None, "account-1", "account-2"]
    assert found.run.account == "account-3"


async def test_the_size_of_the_conversation_may_decide(db, bells):
    model = Models([ask_for("look"), answer()])
    size = USAGE.context_tokens
    assert (await run(db, bells, model, Route(model=SMALL, prompt_above=size))).run.state == "succeeded"
    assert (await run(db, bells, model, Route(model=SMALL, prompt_above=size - 1))).run.state == "succeeded"
    assert model.asked == [MODEL, MODEL, MODEL, SMALL]


async def test_a_turn_is_finished_by_the_model_that_began_it(db, bells):
    cut = Turn("max_tokens", "[]", "")
    turns = iter([ask_for("look"), cut, answer()])

    class Cut(Models):
        async def reason(self, request, on_text):
            del on_text
            self.asked.append(request.model)
            return Reasoned(next(turns), USAGE)

    model = Cut([])
    await run(db, bells, model, Route(model=SMALL, after_tool="look"))
    assert model.asked == [MODEL, SMALL, SMALL]


async def test_arguments_stay_as_the_model_wrote_them_on_a_routed_turn(db, bells):
    model = Models([Turn("tool_use", "[]", "", (HUGE,)), answer()])
    found = await run(db, bells, model, Route(model=SMALL, after_tool="look"))
    assert HUGE.arguments in found.steps[1].input
    assert json.loads(found.steps[1].input)["model"] == SMALL


@pytest.mark.parametrize("error", [ProviderOverloaded, ProviderModelUnknown])
async def test_another_model_stands_in_for_one_that_is_not_there_to_the_end_of_the_run(db, bells, error):
    model = Models([ask_for("look"), answer()], broken={MODEL: lambda: error("away", status=529, request_id="req_1")})
    found = await run(db, bells, model, fallbacks=(OTHER,))
    assert model.asked == [MODEL, OTHER, OTHER]
    assert found.run.state == "succeeded"
    assert [(step.name, step.state) for step in found.steps if step.kind == "reason"] == [
        (MODEL, "cancelled"),
        (OTHER, "succeeded"),
        (OTHER, "succeeded"),
    ]
    rerouted = json.loads(next(event.data for event in found.events if event.type == "step.rerouted"))
    assert (rerouted["name"], rerouted["to"]) == (MODEL, OTHER)
    assert found.attempts[0].request_id == "req_1", "what the first one said is on record"


async def test_stand_ins_are_asked_in_their_order_and_each_once(db, bells):
    gone = {name: lambda: ProviderModelUnknown("no such model") for name in (MODEL, OTHER)}
    model = Models([answer()], broken=gone)
    assert (await run(db, bells, model, fallbacks=(OTHER, THIRD))).run.state == "succeeded"
    assert model.asked == [MODEL, OTHER, THIRD]


async def test_where_nobody_is_left_the_last_one_fails_as_it_would_alone(db, bells):
    gone = {name: lambda: ProviderModelUnknown("no such model") for name in (MODEL, OTHER, THIRD)}
    model = Models([answer()], broken=gone)
    found = await run(db, bells, model, fallbacks=(OTHER, THIRD))
    assert (found.run.state, found.states) == ("needs_review", ["cancelled", "cancelled", "dead"])
    assert model.asked == [MODEL, OTHER, THIRD]


async def test_without_fallbacks_an_overloaded_model_is_waited_for(db, bells):
    model = Models([answer()], broken={MODEL: lambda: ProviderOverloaded("529")})
    assert (await run(db, bells, model)).states == ["waiting"]


async def test_a_refusal_is_put_to_another_model_and_is_paid_for(db, bells):
    model = Models([answer()], refuse=(MODEL,))
    found = await run(db, bells, model, fallbacks=(OTHER,))
    assert (found.run.state, found.run.cost_usd) == ("succeeded", 2 * USAGE.cost_usd)
    assert [(step.name, step.state) for step in found.steps] == [(MODEL, "succeeded"), (OTHER, "succeeded")]
    assert [message.role for message in found.messages] == ["user", "assistant"], "the refusal is not kept"
    assert "step.rerouted" in [event.type for event in found.events]


async def test_a_refusal_of_everybody_ends_the_run(db, bells):
    model = Models([answer()], refuse=(MODEL, OTHER))
    found = await run(db, bells, model, fallbacks=(OTHER,))
    assert found.run.state == "failed"
    assert json.loads(found.run.error)["class"] == "refusal"


async def test_nobody_stands_in_where_something_was_thought(db, bells):
    class ThenAway(Models):
        async def reason(self, request, on_text):
            if len(request.conversation) > 1:
                self.asked.append(request.model)
                raise ProviderOverloaded("529")
            return await super().reason(request, on_text)

    model = ThenAway([thinking(ask_for("look")), answer()])
    found = await run(db, bells, model, fallbacks=(OTHER,))
    assert model.asked == [MODEL, MODEL]
    assert found.states == ["succeeded", "succeeded", "waiting"]

    model = ThenAway([ask_for("look"), answer()])
    found = await run(db, bells, model, fallbacks=(OTHER,))
    assert model.asked == [MODEL, MODEL, OTHER], "and somebody does where nothing was"


async def test_a_route_never_leads_back_to_a_model_that_was_given_up(db, bells):
    model = Models([ask_for("look"), ask_for("book"), answer()], broken={MODEL: lambda: ProviderOverloaded("529")})
    found = await run(db, bells, model, Route(model=SMALL, after_tool="look"), fallbacks=(OTHER,))
    assert model.asked == [MODEL, OTHER, SMALL, OTHER]
    assert found.run.state == "succeeded"
