"""Off, tracing makes nothing."""

from dataclasses import replace

import pytest

from agentfleet.agents.context import ToolContext
from agentfleet.telemetry import tracing
from agentfleet.telemetry.spans import NOBODY
from tests.tracing.conftest import PRODUCER
from tests.unit.agents.test_toolbox import claimed


def test_every_span_is_nobodys_and_a_tool_is_told_the_producers_trace():
    step = claimed("look")
    spans = [
        tracing.step(step),
        tracing.chat("anthropic", "claude", 1, "r1"),
        tracing.tool(step, "c1"),
        tracing.accepting("POST /v1/runs", {}),
    ]
    assert all(span is NOBODY for span in spans)
    assert tracing.name_span(None, "info", {"event": "e"}) == {"event": "e"}
    assert ToolContext.of(step, "c1").traceparent is None
    assert ToolContext.of(replace(step, traceparent=PRODUCER), "c1").traceparent == PRODUCER


def test_nobodys_span_lets_every_error_pass():
    with pytest.raises(ValueError, match="mine"), NOBODY:
        raise ValueError("mine")
