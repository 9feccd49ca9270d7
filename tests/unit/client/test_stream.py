"""Server-Sent Events as the client reads them."""

from agentfleet.client.stream import parse

STREAM = """retry: 1000

: still here

id: 1
event: run.queued
data: {"seq":1,"type":"run.queued","created_at":"2026-01-01T00:00:00Z","data":{}}

event: delta
data: {"step_id":"s","text":"Hel\\nlo"}

id: 2
event: step.unheard_of
data: {"seq":2,"type":"step.unheard_of","created_at":"2026-01-01T00:00:01Z","data":{"kind":"tool"},"more":1}

id: 3
event: run.succeeded
data: {"seq":3,"""


def test_events_come_in_order_and_deltas_have_no_number() -> None:
    events = list(parse(STREAM.split("\n")))
    assert [(event.type, event.seq) for event in events] == [("run.queued", 1), ("delta", None), ("step.unheard_of", 2)]
    assert events[1].data["text"] == "Hel\nlo"


def test_an_event_that_was_cut_off_is_left_out() -> None:
    assert [event.seq for event in parse(STREAM.split("\n"))][-1] == 2
