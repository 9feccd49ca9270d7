"""What a worker's spans say of the steps that it runs."""

from agentfleet.simulator.armed import Match, Order
from agentfleet.simulator.serve import Running
from agentfleet.telemetry import attributes as a
from agentfleet.telemetry import genai
from agentfleet.telemetry.recording import root_of
from tests.factories import execute
from tests.tracing import agents
from tests.tracing.conftest import PRODUCER, Ran, Tracing

CLIENT, INTERNAL = 3, 1


def hexed(step_id: str, fence: int) -> tuple[str, str]:
    trace_id, span_id = root_of(step_id, fence)
    return f"{trace_id:032x}", f"{span_id:016x}"


async def test_a_run_is_one_trace_per_step_each_linked_to_the_trace_of_its_producer(fleet: Ran, traced: Tracing):
    done = await fleet.run(agents.helper)
    sink = traced.stop()
    roots = sink.named("invoke_agent helper")
    assert len(roots) == len(done.steps) == 4  # reason, two tools, reason
    assert {(root.trace_id, root.span_id) for root in roots} == {hexed(str(step.id), 1) for step in done.steps}
    _, trace_id, span_id, _ = PRODUCER.split("-")
    for root in roots:
        assert root.parent_id == ""
        assert root.links == [(trace_id, span_id, {a.LINK: "run"})]
    for span in sink.spans:
        [root] = [root for root in roots if root.trace_id == span.trace_id]
        whose = {a.RUN_ID, a.STEP_ID, a.SEQ, a.ATTEMPT, a.AGENT, a.POOL}
        assert {name: span.attributes.get(name) for name in whose} == {name: root.attributes[name] for name in whose}
        assert span.attributes[a.RUN_ID] == str(done.run.id)
        assert not span.failed


async def test_a_step_tells_how_it_was_settled(fleet: Ran, traced: Tracing):
    done = await fleet.run(agents.helper)
    roots = sorted(traced.stop().named("invoke_agent"), key=lambda root: root.attributes[a.SEQ])
    for root, step in zip(roots, done.steps, strict=True):
        assert root.attributes[genai.CONVERSATION_ID] == str(done.run.id)
        assert root.attributes[a.KIND] == step.kind
        assert [name for name, _ in root.events] == [a.SETTLE]
        assert root.attributes[a.OUTCOME] == "succeed"
    assert [root.attributes.get(a.RUN_STATE) for root in roots] == [None, None, None, "succeeded"]
    spent = sum(root.attributes[a.COST_USD] for root in roots)
    assert abs(spent - float(done.run.cost_usd)) < 1e-9
    assert roots[0].resource["service.name"] == "agentfleet-steps"
    assert roots[0].resource["service.version"] == "1.2.3"


async def test_a_model_call_tells_what_was_asked_and_what_it_used(fleet: Ran, traced: Tracing):
    done = await fleet.run(agents.helper)
    sink = traced.stop()
    first, last = sink.named("chat ")
    assert (first.name, first.kind) == ("chat claude-haiku-4-5", CLIENT)
    said = first.attributes
    assert said[genai.OPERATION_NAME] == "chat"
    assert said[genai.PROVIDER_NAME] == "anthropic"
    assert said[genai.REQUEST_MODEL] == agents.MODEL
    assert said[genai.RESPONSE_MODEL].startswith("claude-haiku-4-5")
    assert said[genai.RESPONSE_ID].startswith("msg_")
    assert said[genai.RESPONSE_FINISH_REASONS] == ["tool_use"]
    assert last.attributes[genai.RESPONSE_FINISH_REASONS] == ["end_turn"]
    assert said[genai.RESPONSE_TIME_TO_FIRST_CHUNK] > 0
    used = [span.attributes for span in (first, last)]
    run = done.run
    prompt = run.input_tokens + run.cache_read_tokens + run.cache_write_tokens
    assert sum(one[genai.USAGE_INPUT_TOKENS] for one in used) == prompt
    assert sum(one[genai.USAGE_CACHE_READ_INPUT_TOKENS] for one in used) == run.cache_read_tokens
    assert sum(one[genai.USAGE_CACHE_CREATION_INPUT_TOKENS] for one in used) == run.cache_write_tokens
    assert sum(one[genai.USAGE_OUTPUT_TOKENS] for one in used) == run.output_tokens
    roots = {root.trace_id: root for root in sink.named("invoke_agent")}
    assert first.parent_id == roots[first.trace_id].span_id


async def test_a_tool_sees_its_own_span_also_in_a_thread_and_its_libraries_spans_belong_to_the_run(
    fleet: Ran, traced: Tracing
):
    done = await fleet.run(agents.helper)
    sink = traced.stop()
    tools = {span.attributes[genai.TOOL_NAME]: span for span in sink.named("execute_tool ")}
    for name, told in agents.seen:
        assert told == f"00-{tools[name].trace_id}-{tools[name].span_id}-{told[-2:]}"
    assert agents.here == [(tools["count"].trace_id, tools["count"].span_id)]
    assert tools["look"].kind == INTERNAL
    assert tools["look"].attributes[genai.TOOL_TYPE] == "function"
    assert tools["look"].attributes[genai.TOOL_CALL_ID].startswith("toolu_")
    assert tools["look"].attributes[a.EFFECT] == "read"
    [library] = sink.named("GET elsewhere")
    assert library.parent_id == tools["count"].span_id
    assert library.attributes[a.RUN_ID] == str(done.run.id)


async def test_the_second_attempt_is_linked_to_the_first_and_only_the_first_is_an_error(fleet: Ran, traced: Tracing):
    done = await fleet.run(agents.patient)
    roots = [root for root in traced.stop().named("invoke_agent") if root.attributes[a.KIND] == "tool"]
    first, second = roots
    assert (first.attributes[a.ATTEMPT], second.attributes[a.ATTEMPT]) == (1, 2)
    assert first.failed
    assert first.attributes[a.ERROR_TYPE] == first.attributes[a.VERDICT] == "backoff"
    assert first.attributes[a.OUTCOME] == "retry"
    assert not second.failed
    assert (first.trace_id, first.span_id, {a.LINK: "attempt_before"}) in second.links
    assert len(second.links) == 2
    assert done.run.state == "succeeded"


async def test_a_tool_that_raises_is_an_error_of_the_tool_and_none_of_the_step(fleet: Ran, traced: Tracing):
    await fleet.run(agents.clumsy)
    sink = traced.stop()
    tools = sink.named("execute_tool break_down")
    assert {(tool.failed, tool.attributes[a.ERROR_TYPE], len(tool.events)) for tool in tools} == {
        (True, "ValueError", 0)
    }
    assert not [root for root in sink.named("invoke_agent") if root.failed]


async def test_a_refused_model_call_is_an_error_named_by_its_verdict_and_waiting_for_it_is_none(
    fleet: Ran, traced: Tracing, sim: Running
):
    sim.simulator.faults.arm(Order(fault="overloaded", times=1, match=Match(turn=0)))
    await fleet.run(agents.helper)
    sink = traced.stop()
    [refused] = [call for call in sink.named("chat ") if call.failed]
    assert refused.attributes[a.ERROR_TYPE] == "overloaded"
    [root] = [root for root in sink.named("invoke_agent") if root.trace_id == refused.trace_id]
    assert (root.attributes[a.OUTCOME], root.attributes[a.VERDICT], root.failed) == ("snooze", "overloaded", False)


async def test_a_result_of_before_is_no_call_of_its_tool(fleet: Ran, traced: Tracing):
    for _ in range(2):
        await fleet.run(agents.knower)
    sink = traced.stop()
    assert len([root for root in sink.named("invoke_agent") if root.attributes[a.KIND] == "tool"]) == 2
    assert len(sink.named("execute_tool recall")) == 1


async def test_work_on_a_step_that_was_lost_is_marked_as_fenced(fleet: Ran, traced: Tracing, database_url: str):
    async def lose(step_id: str) -> None:
        execute(database_url, "UPDATE steps SET fence = fence + 1 WHERE id = %s", step_id)

    agents.losing[:] = [lose]
    await fleet.run(agents.loser, "running")
    [root] = [root for root in traced.stop().named("invoke_agent") if root.attributes[a.KIND] == "tool"]
    assert root.attributes[a.FENCED] is True
    assert not root.failed
