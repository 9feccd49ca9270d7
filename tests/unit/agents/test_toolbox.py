import asyncio
import threading
from concurrent.futures import CancelledError as ThreadCancelled
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from pydantic import BaseModel

from agentfleet.agents import Agent, ToolContext, tool
from agentfleet.agents.registry import Registry
from agentfleet.agents.tool import Effect
from agentfleet.agents.toolbox import MAX_RESULT_BYTES, AgentToolbox
from agentfleet.domain.budget import Progress
from agentfleet.domain.errors import EffectUnknown, StepTimeout, ToolRetry, Unserviceable, WorkerStopping
from agentfleet.domain.model import Claimed, StepKind
from agentfleet.engine.ports import ToolResult


class Answer(BaseModel):
    text: str
    day: date


@pytest.fixture
def threads():
    with ThreadPoolExecutor(1) as pool:
        yield pool


def claimed(name: str, effect: str | None = "read", agent: str = "helper") -> Claimed:
    return Claimed(
        step_id="s1",
        run_id="r1",
        tenant_id="t1",
        agent=agent,
        bundle_id="b_1",
        pool="default",
        seq=3,
        kind=StepKind.TOOL,
        name=name,
        turn=2,
        part=0,
        input="{}",
        effect=effect,
        fence=1,
        attempt=2,
        crashes=0,
        snoozes=0,
        queue_wait=0.0,
        run_age=0.0,
        deadline_at=None,
        traceparent=None,
        metadata={"user": "u1"},
        progress=Progress(steps=2),
    )


async def call(function, threads, arguments=None, *, effect: Effect = "read", timeout=60.0, pinned=None):
    """The result of one call of ``function`` as a tool called ``act``."""
    function.__doc__ = "Act."
    made = tool(effect=effect, timeout=timeout, name="act")(function)
    box = AgentToolbox(Registry([Agent(name="helper", model="m", tools=[made])]), threads)
    return await box.call(claimed("act", pinned or effect), "call_1", arguments or {})


async def test_async_and_sync_tools_answer_with_json_and_strings_stay_as_they_are(threads):
    async def text(name: str):
        return f"hällo {name}"

    def model(day: date):
        return Answer(text="ö", day=day)

    def nothing():
        return None

    assert await call(text, threads, {"name": "x"}) == ToolResult("hällo x")
    assert await call(model, threads, {"day": "2026-11-21"}) == ToolResult('{"text":"ö","day":"2026-11-21"}')
    assert await call(nothing, threads) == ToolResult("null")


async def test_the_context_names_the_call_and_its_effect_key_is_the_same_for_every_attempt(threads):
    seen = []

    async def act(ctx: ToolContext):
        seen.append(ctx)

    await call(act, threads)
    (context,) = seen
    assert (context.run_id, context.step_id, context.call_id, context.attempt) == ("r1", "s1", "call_1", 2)
    assert (context.tenant_id, context.agent, context.metadata) == ("t1", "helper", {"user": "u1"})
    assert context.progress.steps == 2
    assert context.effect_key == "r1:s1:call_1"
    context.log.debug("works")


async def test_a_sync_tool_runs_in_a_thread_of_the_pool(threads):
    def act():
        return threading.current_thread().name

    assert (await call(act, threads)).content.startswith("ThreadPoolExecutor")


async def test_a_tool_that_the_model_invented_is_answered_with_those_there_are(threads):
    async def act():
        return "acted"

    made = tool(effect="read", name="act")(_documented(act))
    box = AgentToolbox(Registry([Agent(name="helper", model="m", tools=[made])]), threads)
    result = await box.call(claimed("fly", None), "call_1", {})
    assert result == ToolResult("there is no tool 'fly'; you have: act", is_error=True)


def _documented(function):
    function.__doc__ = "Act."
    return function


async def test_a_tool_outside_of_the_pinned_bundle_is_not_called_even_if_the_code_has_it(threads):
    calls = []

    async def act():
        calls.append(1)

    made = tool(effect="read", name="act")(_documented(act))
    box = AgentToolbox(Registry([Agent(name="helper", model="m", tools=[made])]), threads)
    assert (await box.call(claimed("act", None), "call_1", {})).is_error
    assert calls == []


async def test_a_promised_tool_or_agent_that_is_gone_is_not_serviceable_here(threads):
    box = AgentToolbox(Registry([Agent(name="helper", model="m")]), threads)
    with pytest.raises(Unserviceable, match="no longer has a tool 'act'"):
        await box.call(claimed("act"), "call_1", {})
    with pytest.raises(Unserviceable, match="no agent 'other'"):
        await box.call(claimed("act", agent="other"), "call_1", {})


async def test_arguments_that_do_not_fit_are_explained_to_the_model(threads):
    async def act(number: int, day: date):
        return number

    result = await call(act, threads, {"number": "many", "surplus": 1})
    assert result.is_error
    for words in ("number: Input should be a valid integer", "day: Field required", "surplus: Extra inputs"):
        assert words in result.content
    assert "pydantic.dev" not in result.content


@pytest.mark.parametrize(
    "error", [ValueError("no such order"), SystemExit(3), ThreadCancelled("inner"), TimeoutError("its own")]
)
async def test_whatever_a_tool_raises_is_told_to_the_model(threads, error):
    def act():
        raise error

    async def async_act():
        raise error

    expected = f"{type(error).__name__}: {error}"
    result = await call(act, threads)
    assert result.is_error
    if not isinstance(error, ThreadCancelled):
        assert result.content == expected
    assert await call(async_act, threads) == ToolResult(expected, is_error=True)


async def test_a_tool_that_cancels_itself_is_a_failed_tool_and_not_a_stopped_step(threads):
    async def act():
        raise asyncio.CancelledError

    assert await call(act, threads) == ToolResult("RuntimeError: the tool cancelled itself", is_error=True)


async def test_a_sync_tool_that_finds_nothing_with_next_fails_at_once(threads):
    def act():
        return next(number for number in [1, 2] if number > 2)

    assert (await call(act, threads)).content.startswith("RuntimeError: the tool raised StopIteration")


async def test_tool_retry_passes_through(threads):
    async def act():
        raise ToolRetry("busy", after=7)

    with pytest.raises(ToolRetry) as caught:
        await call(act, threads)
    assert caught.value.retry_after == 7


async def test_cancelling_the_step_cancels_its_tool(threads):
    started, stopped = asyncio.Event(), []

    async def act():
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.append(1)
            raise

    step = asyncio.create_task(call(act, threads))
    await started.wait()
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    assert stopped == [1]


async def test_a_read_that_is_too_slow_is_told_to_the_model(threads):
    async def act():
        await asyncio.Event().wait()

    result = await call(act, threads, effect="idempotent", timeout=0.01)
    assert result == ToolResult("TimeoutError: the tool 'act' did not end within 0.01 s", is_error=True)


@pytest.mark.parametrize(("code", "pinned"), [("unsafe", "unsafe"), ("unsafe", "read"), ("read", "unsafe")])
async def test_an_unsafe_tool_that_is_too_slow_has_an_unknown_effect_by_code_or_by_bundle(threads, code, pinned):
    async def act():
        await asyncio.Event().wait()

    with pytest.raises(EffectUnknown) as caught:
        await call(act, threads, effect=code, pinned=pinned, timeout=0.01)
    assert caught.value.detail == {"effect_key": "r1:s1:call_1"}


async def test_an_unsafe_tool_in_a_thread_goes_on_after_its_timeout_so_its_effect_is_unknown(threads):
    release = threading.Event()

    def act():
        release.wait()

    try:
        with pytest.raises(EffectUnknown):
            await call(act, threads, effect="unsafe", timeout=0.01)
    finally:
        release.set()


async def test_an_unsafe_tool_that_never_got_a_thread_did_nothing_and_is_tried_again(threads):
    release, calls = threading.Event(), []
    threads.submit(release.wait)

    def act():
        calls.append(1)

    try:
        with pytest.raises(StepTimeout, match="no thread"):
            await call(act, threads, effect="unsafe", timeout=0.01)
    finally:
        release.set()
    threads.shutdown(wait=True)
    assert calls == []


async def test_closed_threads_mean_that_the_worker_stops_and_not_that_the_tool_failed():
    pool = ThreadPoolExecutor(1)
    pool.shutdown()

    def act():
        return 1

    with pytest.raises(WorkerStopping):
        await call(act, pool)


async def test_results_hold_no_nul_and_no_lone_surrogate(threads):
    async def act():
        return "a\0b\ud800c"

    async def nested():
        return {"text": "a\0b"}

    assert await call(act, threads) == ToolResult("a\ufffdb\ufffdc")
    assert "\0" not in (await call(nested, threads)).content


async def test_a_huge_result_is_cut_with_a_note(threads):
    async def act():
        return "é" * MAX_RESULT_BYTES

    content = (await call(act, threads)).content
    text, note = content.split("\n")
    assert len(text.encode()) == MAX_RESULT_BYTES
    assert note == f"[truncated: this is the first {MAX_RESULT_BYTES} of {MAX_RESULT_BYTES * 2} bytes]"


async def test_a_result_without_a_json_form_says_that_the_tool_ran(threads):
    async def act():
        return object()

    result = await call(act, threads)
    assert result.is_error
    assert result.content.startswith("the tool ran, but its result has no JSON form")
