"""What an agent may say about its models."""

import json
from typing import Any

import pytest

from agentfleet import Agent, Route
from agentfleet.agents import tool
from agentfleet.agents.bundle import bundle_of, canonical
from agentfleet.agents.registry import Registry
from agentfleet.agents.toolbox import AgentToolbox
from agentfleet.domain.errors import InvalidInput
from agentfleet.domain.model import Bundle

MAIN, SMALL = "claude-opus-5-5", "claude-haiku-5-5"
ROUTES = (Route(model=SMALL, turns=(1, 1)), Route(model=SMALL, after_tool="search", prompt_below=2_000))


@tool(effect="read")
def search(query: str) -> str:
    """Search."""
    return query


def make(**changes: Any) -> Agent:
    return Agent(**{"name": "librarian", "model": MAIN, "tools": [search], **changes})


def rules_of(bundle: Bundle):
    return AgentToolbox(Registry([make()]), None).rules(bundle)  # pyright: ignore[reportArgumentType]  # calls nothing


def test_routes_and_fallbacks_are_data_of_the_bundle():
    agent = make(routes=ROUTES, fallback_models=["claude-sonnet-5"])
    bundle = bundle_of(agent)
    assert json.loads(canonical(bundle.spec)) == bundle.spec
    rules = rules_of(bundle)
    assert (rules.model, rules.routes, rules.fallbacks) == (MAIN, ROUTES, ("claude-sonnet-5",))
    assert bundle.id != bundle_of(make()).id


def test_a_bundle_of_an_older_release_has_no_routes():
    spec = {key: value for key, value in make().spec().items() if key not in ("routes", "fallback_models")}
    rules = rules_of(Bundle("b", "librarian", spec))
    assert (rules.model, rules.routes, rules.fallbacks) == (MAIN, (), ())


def test_the_first_turn_may_be_for_another_model():
    assert make().first_model == MAIN
    assert make(routes=ROUTES).first_model == SMALL
    assert make(routes=[Route(model=SMALL, prompt_below=9_999)]).first_model == MAIN


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"routes": [Route(model=SMALL, after_tool="find")]}, "route 1 follows 'find', which is none of its tools"),
        ({"routes": [ROUTES[0], Route(model=MAIN, turns=(1, 1))]}, "route 2 never holds: route 1 has the same"),
        ({"routes": [{"model": SMALL}]}, "is no Route"),
        ({"fallback_models": "claude-sonnet-5"}, "a list of model ids"),
        ({"fallback_models": [MAIN]}, "each once, and not its own model"),
        ({"fallback_models": [SMALL, SMALL]}, "each once, and not its own model"),
        ({"fallback_models": [""]}, "ids of models"),
    ],
)
def test_what_could_never_work_is_refused_when_the_agent_is_made(changes: dict[str, Any], problem: str):
    with pytest.raises(InvalidInput, match=problem) as caught:
        make(**changes)
    assert caught.value.field == "agent 'librarian'"
