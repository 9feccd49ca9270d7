"""The hand-built message is the one that Celery would have sent, and Celery's own code reads it."""

import base64
import json
from typing import Any

import pytest
from celery import Celery
from celery.app.trace import build_tracer
from celery.worker.request import Request
from kombu import pools
from redis import Redis as SyncRedis

from agentfleet.broker.app import make_app
from agentfleet.broker.envelope import envelope
from agentfleet.broker.names import STEP_TASK
from agentfleet.settings import Settings
from tests.integration.broker.conftest import QUEUE, bell

BELL = bell()
OURS_ALONE = {"delivery_tag", "origin", "reply_to", "argsrepr", "kwargsrepr"}
"""Random, or the sender's, or where a result would go, or free text for people."""


@pytest.fixture
def theirs(redis_url: str, list_: SyncRedis) -> dict[str, Any]:
    """What ``apply_async`` sends through kombu's stock transport."""
    with make_app(Settings(redis_url=redis_url, transport="redis")) as app:
        app.tasks[STEP_TASK].apply_async(
            (BELL.step_id,),
            task_id=BELL.step_id,
            root_id=BELL.run_id,
            shadow="support:tool",
            queue=QUEUE,
            priority=0,
            ignore_result=True,
            headers={"traceparent": BELL.traceparent},
        )
    pools.reset()
    raw = list_.rpop(QUEUE)
    assert isinstance(raw, bytes)
    return json.loads(raw)


@pytest.fixture
def ours() -> dict[str, Any]:
    return json.loads(envelope(BELL, QUEUE))


@pytest.mark.parametrize("part", ["headers", "properties"])
def test_every_field_is_the_one_that_celery_sends(theirs: dict[str, Any], ours: dict[str, Any], part: str) -> None:
    assert ours[part].keys() == theirs[part].keys()
    differing = {name for name in theirs[part] if ours[part][name] != theirs[part][name]}
    assert differing <= OURS_ALONE


def test_the_frame_and_the_body_are_those_that_celery_sends(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    assert ours.keys() == theirs.keys()
    assert {k: ours[k] for k in ("content-type", "content-encoding")} == {
        k: theirs[k] for k in ("content-type", "content-encoding")
    }
    assert json.loads(base64.b64decode(ours["body"])) == json.loads(base64.b64decode(theirs["body"]))


def test_celery_reads_it(app: Celery, list_: SyncRedis) -> None:
    list_.lpush(QUEUE, envelope(BELL, QUEUE))
    with app.connection_for_read() as connection:
        message = connection.default_channel.basic_get(QUEUE)
        embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
        assert message.decode() == [[BELL.step_id], {}, embed]
        task = app.tasks[STEP_TASK]
        task.__trace__ = build_tracer(STEP_TASK, task, app=app)
        request = Request(message, app=app, hostname="test", task=task, decoded=False)
        assert (request.id, request.root_id, request.name) == (BELL.step_id, BELL.run_id, "support:tool")
        assert request.args == [BELL.step_id]
        assert request.argsrepr == f"run={BELL.run_id} step=4 look attempt=2"
        assert (request.eta, request.expires, request.correlation_id) == (None, None, BELL.step_id)


def test_two_messages_about_one_step_have_tags_of_their_own() -> None:
    tags = {json.loads(envelope(BELL, QUEUE))["properties"]["delivery_tag"] for _ in range(2)}
    assert len(tags) == 2


def test_it_carries_ids_and_no_content(ours: dict[str, Any]) -> None:
    assert len(envelope(BELL, QUEUE)) < 1_500
    assert json.loads(base64.b64decode(ours["body"]))[0] == [BELL.step_id]
