"""Routes: which turns they take, which they could never take, and when another model may stand in."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfleet.domain.errors import (
    ProviderBusy,
    ProviderModelUnknown,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRejected,
)
from agentfleet.domain.model import Message
from agentfleet.domain.routing import Route, gives_way, instead, is_bound, pick, route_from_json, route_to_json

MAIN, SMALL, TINY = "claude-opus-5-5", "claude-haiku-5-5", "claude-haiku-4-5"


def routed(*routes: Route, turn: int = 1, **known: Any) -> str:
    return pick(MAIN, routes, turn, **known)


def test_the_first_route_that_holds_wins_and_else_the_main_model():
    routes = (Route(model=SMALL, turns=(1, 1)), Route(model=TINY, turns=(1, 2)))
    assert [routed(*routes, turn=turn) for turn in (1, 3, 5)] == [SMALL, TINY, MAIN]


def test_turns_are_counted_as_the_models_own():
    early, late = Route(model=SMALL, turns=(2, 3)), Route(model=SMALL, turns=(3, None))
    assert [routed(early, turn=turn) for turn in (1, 3, 5, 7)] == [MAIN, SMALL, SMALL, MAIN]
    assert [routed(late, turn=turn) for turn in (1, 3, 5, 7, 99)] == [MAIN, MAIN, SMALL, SMALL, SMALL]


def test_a_paused_turn_that_goes_on_is_the_same_turn():
    assert routed(Route(model=SMALL, turns=(1, 1)), turn=2) == SMALL


@pytest.mark.parametrize(
    ("tools", "model"), [((), MAIN), (("search",), SMALL), (("search", "read"), SMALL), (("search", "refund"), MAIN)]
)
def test_a_route_after_tools_asks_that_all_new_results_are_theirs(tools: tuple[str, ...], model: str):
    assert routed(Route(model=SMALL, after_tool=("search", "read")), turn=3, tools=tools) == model


@pytest.mark.parametrize(("known", "model"), [(None, MAIN), (100, MAIN), (101, SMALL), (199, SMALL), (200, MAIN)])
def test_a_route_by_size_needs_a_known_size_between_its_bounds(known: int | None, model: str):
    assert routed(Route(model=SMALL, prompt_above=100, prompt_below=200), turn=3, prompt_tokens=known) == model


def test_every_condition_that_is_given_must_hold():
    route = Route(model=SMALL, turns=(2, 2), after_tool="search", prompt_below=50)
    assert routed(route, turn=3, tools=["search"], prompt_tokens=49) == SMALL
    assert routed(route, turn=5, tools=["search"], prompt_tokens=49) == MAIN
    assert routed(route, turn=3, tools=["other"], prompt_tokens=49) == MAIN
    assert routed(route, turn=3, tools=["search"], prompt_tokens=50) == MAIN


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "needs a condition"),
        ({"model": "", "turns": (1, 1)}, "needs a model"),
        ({"turns": (0, 1)}, "counts turns from 1"),
        ({"turns": (3, 2)}, "counts turns from 1"),
        ({"after_tool": ()}, "names no tool"),
        ({"prompt_above": 0}, "needs sizes above zero"),
        ({"prompt_above": 200, "prompt_below": 200}, "needs sizes above zero, prompt_above below prompt_below"),
        ({"turns": (1, 1), "after_tool": "search"}, "cannot hold"),
        ({"turns": (1, 1), "prompt_below": 9}, "cannot hold"),
    ],
)
def test_a_route_that_could_never_hold_is_refused(fields: dict[str, Any], problem: str):
    with pytest.raises(ValueError, match=problem):
        Route(**{"model": SMALL, **fields})


routes = st.builds(
    Route,
    model=st.sampled_from([MAIN, SMALL, TINY]),
    turns=st.tuples(st.integers(1, 9), st.none() | st.integers(9, 20)),
    after_tool=st.none() | st.lists(st.sampled_from(["a", "b"]), min_size=1, unique=True),
    prompt_above=st.none() | st.integers(1, 500),
    prompt_below=st.none() | st.integers(501, 1_000),
)


@given(
    st.lists(routes, max_size=4),
    st.integers(1, 40),
    st.sets(st.sampled_from(["a", "b", "c"])),
    st.none() | st.integers(0, 2_000),
)
def test_a_route_that_went_through_json_decides_the_same(
    rules: list[Route], turn: int, tools: set[str], size: int | None
):
    again = [route_from_json(route_to_json(route)) for route in rules]
    assert again == rules
    chosen = pick(MAIN, rules, turn, tools=tools, prompt_tokens=size)
    assert chosen == pick(MAIN, again, turn, tools=tools, prompt_tokens=size)
    assert chosen in {MAIN, *(route.model for route in rules)}


def test_a_model_that_is_to_be_avoided_has_the_first_other_one_stand_in():
    assert instead(MAIN, [SMALL, TINY], ()) == MAIN
    assert instead(MAIN, [SMALL, TINY], [MAIN]) == SMALL
    assert instead(MAIN, [SMALL, TINY], [MAIN, SMALL]) == TINY
    assert instead(MAIN, [SMALL], [MAIN, SMALL]) == MAIN


@pytest.mark.parametrize(
    ("error", "way"),
    [
        (ProviderOverloaded("529"), True),
        (ProviderModelUnknown("no such model", status=404), True),
        (ProviderBusy("its breaker is open", overloaded=True), True),
        (ProviderBusy("no room yet"), False),
        (ProviderRateLimited("429", status=429), False),
        (ProviderRejected("bad request", status=400), False),
    ],
)
def test_a_model_gives_way_when_it_is_not_there_and_not_when_its_bucket_is_empty(error, way: bool):
    assert gives_way(error) is way


THINKING = '[{"type":"thinking","thinking":"","signature":"s"},{"type":"text","text":"Hello"}]'


@pytest.mark.parametrize(
    ("role", "content", "bound"),
    [
        ("assistant", THINKING, True),
        ("assistant", '[{ "type" : "redacted_thinking", "data": "x" }]', True),
        ("assistant", '[{"type":"text","text":"I was thinking"}]', False),
        ("assistant", '[{"type":"tool_use","id":"t","name":"n","input":{"type":"thinking"}}]', False),
        ("user", '[{"type":"tool_result","tool_use_id":"t","content":"thinking"}]', False),
    ],
)
def test_a_conversation_is_bound_by_thinking_and_by_nothing_that_only_reads_like_it(
    role: str, content: str, bound: bool
):
    said = Message(0, 0, "user", '[{"type":"text","text":"Hello"}]')
    assert is_bound([said, Message(1, 0, role, content)]) is bound
