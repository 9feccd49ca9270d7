"""What Flower hears about steps: all of them, a sample, or nothing; through Celery's own dispatcher and receiver."""

import uuid
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.events import EventDispatcher

from agentfleet.broker.events import SAMPLE, TaskEvents
from agentfleet.broker.loop import Done
from agentfleet.broker.request import StepRequest

MANY = 400


class Listener:
    """Celery's receiver, as Flower uses it."""

    def __init__(self, events: list[dict[str, Any]], connection: Any) -> None:
        self.events, self.connection = events, connection

    def listen(self, until: str) -> list[dict[str, Any]]:
        """Everything up to an event of that type, without it."""
        while not self.events or self.events[-1]["type"] != until:
            self.connection.drain_events(timeout=5)
        return [event for event in self.events[:-1] if event["type"].startswith("task-")]


@pytest.fixture
def dispatcher(app: Celery) -> Any:
    with app.connection_for_write() as connection:
        yield app.events.Dispatcher(connection, hostname="steps@test", enabled=True, groups=["task", "worker"])


@pytest.fixture
def listener(app: Celery, dispatcher: EventDispatcher) -> Any:
    heard: list[dict[str, Any]] = []
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": heard.append})
        with receiver.consumer_context(wakeup=False) as (consuming, _, _):
            while not heard:  # what is sent before the subscription has arrived is not heard
                dispatcher.send("worker-online")
                with suppress(TimeoutError):
                    consuming.drain_events(timeout=0.05)
            yield Listener(heard, consuming)


def request(number: int = 0) -> StepRequest:
    headers = {
        "id": str(uuid.UUID(int=number)),
        "task": "agentfleet.step",
        "shadow": "support:tool",
        "argsrepr": "run=1 step=2",
        "root_id": "run-1",
    }
    return StepRequest(SimpleNamespace(headers=headers), "steps@test", lambda *_: None)


def tell(dispatcher: EventDispatcher, mode: str, requests: list[StepRequest], outcome: str | None) -> None:
    events = TaskEvents(SimpleNamespace(event_dispatcher=dispatcher), mode)
    for one in requests:
        events.started(one)
        events.finished(Done(one, outcome, 0.5))
    dispatcher.send("worker-end")


@pytest.mark.parametrize(
    ("outcome", "last"),
    [
        ("succeed", "task-succeeded"),
        ("bury", "task-failed"),
        ("cancel", "task-failed"),
        ("retry", "task-retried"),
        ("snooze", "task-retried"),
        ("hand_back", "task-retried"),
        ("revoked", "task-revoked"),
        (None, "task-succeeded"),
    ],
)
def test_the_events_of_one_step(
    listener: Listener, dispatcher: EventDispatcher, outcome: str | None, last: str
) -> None:
    tell(dispatcher, "all", [request()], outcome)
    received, started, finished = listener.listen("worker-end")
    assert [received["type"], started["type"], finished["type"]] == ["task-received", "task-started", last]
    for one in (received, finished):  # a listener may come in between
        assert (one["name"], one["args"], one["root_id"]) == ("support:tool", "run=1 step=2", "run-1")
    assert {one["uuid"] for one in (received, started, finished)} == {request().id}


def test_sampled_shows_whole_steps_and_few_of_them(listener: Listener, dispatcher: EventDispatcher) -> None:
    tell(dispatcher, "sampled", [request(number) for number in range(MANY)], "succeed")
    heard = listener.listen("worker-end")
    assert len(heard) == 3 * MANY // SAMPLE
    assert len({event["uuid"] for event in heard}) == MANY // SAMPLE


def test_off_is_silent(listener: Listener, dispatcher: EventDispatcher) -> None:
    tell(dispatcher, "off", [request()], "succeed")
    assert listener.listen("worker-end") == []


def test_nothing_is_sent_while_nobody_has_switched_it_on(listener: Listener, dispatcher: EventDispatcher) -> None:
    dispatcher.groups = {"worker"}
    tell(dispatcher, "all", [request()], "succeed")
    assert listener.listen("worker-end") == []
