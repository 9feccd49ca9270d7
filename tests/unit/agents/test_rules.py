"""What the agent loop may do under a pinned bundle, and what it takes for a valid output."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from pydantic import BaseModel

from agentfleet.agents import Agent, tool
from agentfleet.agents.bundle import bundle_of
from agentfleet.agents.registry import Registry
from agentfleet.agents.toolbox import AgentToolbox
from agentfleet.domain.budget import Budget
from agentfleet.domain.errors import Unserviceable
from agentfleet.domain.plan import Invalid, Valid


class Answer(BaseModel):
    text: str
    day: date


@pytest.fixture
def threads():
    with ThreadPoolExecutor(1) as pool:
        yield pool


def act() -> None:
    """Do it."""


def rules(output_type, threads):
    made = tool(effect="unsafe", name="act")(act)
    agent = Agent(name="helper", model="m", tools=[made], output_type=output_type, budget=Budget(max_steps=7))
    later = Agent(name="helper", model="newer", output_type=output_type)
    return AgentToolbox(Registry([later]), threads).rules(bundle_of(agent))


def test_rules_come_from_the_pinned_bundle_and_not_from_the_code(threads):
    pinned = rules(None, threads)
    assert (pinned.model, pinned.budget.max_steps, pinned.effects) == ("m", 7, {"act": "unsafe"})


def test_rules_of_an_unknown_agent_are_not_serviceable(threads):
    bundle = bundle_of(Agent(name="gone", model="m"))
    with pytest.raises(Unserviceable, match="gone"):
        AgentToolbox(Registry(), threads).rules(bundle)


@pytest.mark.parametrize("frame", ["{}", " {}\n", "```json\n{}\n```", "\n```\n{}```\n", "```JSON \n{}\n```"])
def test_an_output_of_the_right_shape_is_valid_with_or_without_a_fence(threads, frame):
    text = frame.replace("{}", '{"text": "ö", "day": "2026-11-21"}')
    assert rules(Answer, threads).check_output(text) == Valid('{"text":"ö","day":"2026-11-21"}')


@pytest.mark.parametrize(
    ("text", "problem"),
    [("", "empty"), (" \n", "empty"), ("Sure!", "not JSON"), ('{"text":"x"}', "day: Field required")],
)
def test_an_output_of_the_wrong_shape_is_explained(threads, text, problem):
    verdict = rules(Answer, threads).check_output(text)
    assert isinstance(verdict, Invalid)
    assert problem in verdict.problem


def test_an_agent_without_an_output_type_answers_with_its_text_as_json(threads):
    check = rules(None, threads).check_output
    assert check('say "hä"\0\ud800') == Valid(json.dumps('say "hä"\ufffd\ufffd', ensure_ascii=False))
    assert isinstance(check("  "), Invalid)
