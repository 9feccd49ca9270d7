from datetime import timedelta
from typing import Any

import pytest

from agentfleet import Agent, Reuse, tool
from agentfleet.agents.bundle import bundle_of
from agentfleet.domain.errors import InvalidInput

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"ttl": timedelta(0)}, "Reuse.ttl"),
        ({"ttl": timedelta(days=31)}, "Reuse.ttl"),
        ({"ttl": HOUR, "scope": "world"}, "Reuse.scope"),
        ({"ttl": HOUR, "tags": ["a b"]}, "Reuse.tags"),
        ({"ttl": HOUR, "tags": [""]}, "Reuse.tags"),
        ({"ttl": HOUR, "period": timedelta(milliseconds=1)}, "Reuse.period"),
    ],
)
def test_what_cannot_be_is_refused_and_named(values: dict[str, Any], field: str):
    with pytest.raises(InvalidInput) as refused:
        Reuse(**values)
    assert refused.value.field == field


def test_a_bundle_keeps_how_answers_may_be_used_again():
    reuse = Reuse(ttl=HOUR, scope="all", tags=("catalogue",), period=timedelta(days=1))
    spec = bundle_of(Agent(name="shop", model="m", cache_answers=reuse)).spec
    assert Reuse.from_json(spec["cache_answers"]) == reuse
    assert bundle_of(Agent(name="shop", model="m")).spec["cache_answers"] is None


@pytest.mark.parametrize("effect", ["idempotent", "unsafe"])
def test_only_a_call_that_changes_nothing_may_be_skipped(effect: Any):
    def act() -> str:
        """Act."""
        return ""

    with pytest.raises(InvalidInput, match="are to happen"):
        tool(effect=effect, cache=60)(act)


@pytest.mark.parametrize("cache", [0, -1, True])
def test_a_tool_says_for_how_many_seconds(cache: Any):
    def act() -> str:
        """Act."""
        return ""

    with pytest.raises(InvalidInput, match="greater than zero"):
        tool(effect="read", cache=cache)(act)


def test_seconds_mean_within_the_tenant():
    @tool(effect="read", cache=60)
    def act() -> str:
        """Act."""
        return ""

    assert act.reuse == Reuse(ttl=timedelta(seconds=60), scope="tenant")
