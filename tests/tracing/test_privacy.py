"""What nobody may read in a trace."""

import json

import pytest

from agentfleet.telemetry import genai
from tests.tracing import agents
from tests.tracing.conftest import KEY, Ran, Tracing
from tests.tracing.sink import Sink

INPUT = "canary-1b7e-in-prompt"
METADATA = "canary-77aa-in-metadata"
SECRETS = {"our key": "af_live_a1b2c3d4_0123456789abcdefABCDEF", "their key": "sk-ant-api03-abcDEF123456-xyz"}


async def told(fleet: Ran, traced: Tracing) -> tuple[bytes, list[str]]:
    """Everything that was exported of runs with planted words, and the effect keys of their calls."""
    said = f"{INPUT} {' '.join(SECRETS.values())}"
    content = json.dumps([{"type": "text", "text": said}])
    more = {"input": json.dumps(said), "content": content, "metadata": json.dumps({"note": METADATA})}
    done = [await fleet.run(agent, **more) for agent in (agents.helper, agents.clumsy, agents.patient)]
    keys = [
        f"{run.run.id}:{step.id}:{json.loads(step.input)['call_id']}"
        for run in done
        for step in run.steps
        if step.kind == "tool"
    ]
    return b"".join(traced.stop().raw), keys


async def test_nothing_that_was_said_or_given_and_no_key_is_exported(fleet: Ran, traced: Tracing):
    exported, effect_keys = await told(fleet, traced)
    assert len(effect_keys) >= 4
    for canary in (INPUT, METADATA, agents.CANARY, KEY, "canary", *SECRETS.values(), *effect_keys):
        assert canary.encode() not in exported


async def test_who_opts_in_sees_what_was_said_and_given_without_secrets(fleet: Ran, sink: Sink):
    traced = Tracing(sink)
    traced.start(content=True)
    exported, _ = await told(fleet, traced)
    assert INPUT.encode() in exported
    assert agents.CANARY.encode() in exported
    for canary in (METADATA, KEY, *SECRETS.values()):
        assert canary.encode() not in exported
    [first, *_] = sink.named("chat ")
    [message] = json.loads(first.attributes[genai.INPUT_MESSAGES])
    assert (message["role"], message["parts"][0]["type"]) == ("user", "text")
    [tool] = sink.named("execute_tool look")
    assert "place" in json.loads(tool.attributes[genai.TOOL_CALL_ARGUMENTS])
    assert agents.CANARY in tool.attributes[genai.TOOL_CALL_RESULT]


@pytest.mark.parametrize("value", ["x" * 100_000, {"deep": ["x" * 100_000]}], ids=["text", "document"])
def test_long_content_is_cut(value: object):
    text = value if isinstance(value, str) else json.dumps(value)
    assert len(str(genai.result_content(text))) < 2 * genai.MAX_TEXT


def test_a_secret_by_name_is_hidden_in_arguments_and_results():
    assert "hunter2" not in str(genai.arguments_content({"password": "hunter2", "place": "cellar"}))
    assert "hunter2" not in str(genai.result_content('{"api_key": "hunter2"}'))
