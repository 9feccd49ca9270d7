import json
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from agentfleet.agents import Agent, tool
from agentfleet.agents.bundle import bundle_of, canonical
from agentfleet.domain.budget import Budget, budget_from_json
from agentfleet.domain.errors import InvalidInput


class Answer(BaseModel):
    text: str


class Question(BaseModel):
    order_id: str


@tool(effect="unsafe", timeout=5)
def pay(amount: int) -> str:
    """Pay."""
    return "paid"


@tool(effect="read")
def look(what: str) -> str:
    """Look."""
    return what


def make(**changes: Any) -> Agent:
    values: dict[str, Any] = {
        "name": "support",
        "model": "claude-sonnet-5-5",
        "instructions": "Hëlp.",
        "tools": [pay, look],
        "output_type": Answer,
    }
    return Agent(**{**values, **changes})


def test_the_spec_is_json_and_holds_what_a_run_is_pinned_to():
    spec = make(budget=Budget(max_cost_usd=0.5, deadline=timedelta(minutes=30)), effort="low", max_attempts=2).spec()
    assert json.loads(canonical(spec)) == spec
    assert [entry["name"] for entry in spec["tools"]] == ["pay", "look"]
    assert spec["tool_rules"] == {"pay": {"effect": "unsafe", "timeout": 5}, "look": {"effect": "read", "timeout": 60}}
    unlimited = {"max_tool_calls": None, "max_tokens": None}
    assert spec["budget"] == {"max_steps": 100, "max_cost_usd": "0.5", "deadline": 1800.0, **unlimited}
    assert spec["output_schema"]["properties"] == {"text": {"type": "string"}}
    assert (spec["model"], spec["max_tokens"], spec["cache"]) == ("claude-sonnet-5-5", 8192, True)
    assert (spec["thinking"], spec["effort"], spec["max_attempts"]) == (None, "low", 2)


@pytest.mark.parametrize(
    "budget", [Budget(), Budget(None, 3, 0.1, timedelta(seconds=1.5)), Budget(1, None, None, None)]
)
def test_a_budget_survives_its_bundle(budget):
    restored = budget_from_json(make(budget=budget).spec()["budget"])
    assert (restored.max_steps, restored.max_tool_calls) == (budget.max_steps, budget.max_tool_calls)
    assert restored.deadline == budget.deadline
    assert float(restored.max_cost_usd or 0) == float(budget.max_cost_usd or 0)


def test_the_bundle_id_is_the_hash_of_everything_that_decides_what_the_agent_does():
    bundle = bundle_of(make())
    assert bundle == bundle_of(make())
    assert len(bundle.id) == 34
    assert bundle.id.startswith("b_")
    changes = [
        {"name": "other"},
        {"model": "claude-opus-5-5"},
        {"instructions": "x"},
        {"tools": [look, pay]},
        {"output_type": None},
        {"max_tokens": 1},
        {"budget": Budget(max_steps=1)},
        {"cache": False},
        {"thinking": "adaptive"},
        {"effort": "max"},
    ]
    ids = {bundle_of(make(**change)).id for change in changes}
    assert len(ids | {bundle.id}) == len(changes) + 1


def test_another_process_computes_the_same_bundle_id():
    script = "from tests.unit.agents.test_agent import bundle_of, make; print(bundle_of(make()).id)"
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == bundle_of(make()).id


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"name": "Support"}, "lower-case"),
        ({"name": ""}, "lower-case"),
        ({"model": ""}, "model"),
        ({"instructions": "a\0b"}, "NUL"),
        ({"thinking": "deep"}, "deep"),
        ({"effort": "huge"}, "huge"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"pool": "a b"}, "pool"),
        ({"tools": [pay, pay]}, "two tools are called 'pay'"),
        ({"tools": [print]}, "is no tool"),
    ],
)
def test_an_agent_that_could_not_run_is_refused_when_it_is_defined(change, problem):
    with pytest.raises(InvalidInput, match=problem):
        make(**change)


def test_an_input_of_the_wrong_shape_is_the_callers_fault_and_names_the_field():
    agent = make(input_type=Question)
    agent.check_input({"order_id": "A1"})
    with pytest.raises(InvalidInput, match="order_id: Field required"):
        agent.check_input({})
    make().check_input("anything")
