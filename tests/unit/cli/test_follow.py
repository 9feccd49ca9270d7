from datetime import UTC, datetime

from rich.console import Console

from agentfleet.cli.follow import Follower
from agentfleet.client import Event, Run

STEP = {"kind": "reason", "name": "claude-sonnet-5-5", "input_tokens": 0, "output_tokens": 0, "cost_usd": "0"}


def shown(what: str = "succeeded", **data: object) -> str:
    console = Console(record=True, width=100)
    follower = Follower(console, Run(id="r", status="queued", agent="faq", created_at=datetime(2026, 1, 1, tzinfo=UTC)))
    follower.show(Event(type=f"step.{what}", data={**STEP, **data}, seq=1))
    return console.export_text().splitlines()[-1]


def test_a_step_that_was_answered_before_says_so_in_place_of_its_tokens():
    assert shown(cached=True) == "✓ reason claude-sonnet-5-5  answered before"
    assert shown() == "✓ reason claude-sonnet-5-5  0 tokens in, 0 out, $0"


def test_a_step_that_waits_says_for_what():
    waits = {"kind": "reason", "name": "claude-sonnet-5-5", "blocked_on": "batch", "delay": 900.0}
    assert shown("snoozed", **waits).startswith("… reason claude-sonnet-5-5  snoozed: batch  again within 900.0 s")
