"""Our hand-built message against the one that Celery itself sends, field by field."""

import base64
import json

import orjson
from celery.worker.request import Request
from kombu.transport.virtual import Message
from redis import Redis as SyncRedis

from agentfleet.broker import names
from agentfleet.broker.app import make_app
from agentfleet.broker.envelope import envelope
from agentfleet.domain.model import Doorbell
from agentfleet.settings import Settings

BELL = Doorbell(
    step_id="01a1fdda-59f4-740f-8684-c4a2818a4743",
    run_id="01a1fdda-59f4-740f-8684-c4a2818a4744",
    pool="default",
    agent="support",
    kind="tool",
    name="refund",
    seq=4,
    attempt=2,
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)
OURS_ALONE = {"traceparent"}
"""Celery keeps headers that it does not know."""
DIFFERS_BY_SENDER = {"origin"}


def celerys_own(redis_url: str) -> dict:
    """What ``apply_async`` leaves in Redis for the same step."""
    app = make_app(Settings(redis_url=redis_url, transport="redis"))
    queue = names.queue("agentfleet", "default")
    app.tasks[names.STEP_TASK].apply_async(
        (BELL.step_id,),
        task_id=BELL.step_id,
        root_id=BELL.run_id,
        shadow="support:tool",
        argsrepr=f"run={BELL.run_id} step=4 refund attempt=2",
        kwargsrepr="",
        queue=queue,
    )
    with SyncRedis.from_url(redis_url) as redis:
        return json.loads(redis.rpop(queue))


def test_the_envelope_has_every_field_of_celerys_own_message(redis_url):
    theirs = celerys_own(redis_url)
    ours = json.loads(envelope(BELL, names.queue("agentfleet", "default")))
    assert set(ours) == set(theirs)
    assert set(ours["headers"]) - OURS_ALONE == set(theirs["headers"])
    for name in set(theirs["headers"]) - DIFFERS_BY_SENDER:
        assert ours["headers"][name] == theirs["headers"][name], name
    assert json.loads(base64.b64decode(ours["body"])) == json.loads(base64.b64decode(theirs["body"]))
    assert (ours["content-type"], ours["content-encoding"]) == (theirs["content-type"], theirs["content-encoding"])
    for name in ("correlation_id", "delivery_mode", "delivery_info", "priority", "body_encoding"):
        assert ours["properties"][name] == theirs["properties"][name], name


def test_celerys_own_decoder_and_request_understand_the_envelope(redis_url):
    app = make_app(Settings(redis_url=redis_url))
    with app.connection_for_read() as connection:
        payload = orjson.loads(envelope(BELL, names.queue("agentfleet", "default")))
        message = Message(payload, channel=connection.default_channel)
        args, kwargs, embedded = message.decode()
        assert (args, kwargs, embedded["chain"]) == ([BELL.step_id], {}, None)
        request = Request(message, app=app, task=app.tasks[names.STEP_TASK])
    assert (request.id, request.root_id, request.task_name) == (BELL.step_id, BELL.run_id, "support:tool")
    assert request.argsrepr == f"run={BELL.run_id} step=4 refund attempt=2"
    assert request.eta is None
    assert request.expires is None


def test_every_copy_of_a_message_has_its_own_delivery_tag(redis_url):
    tags = {json.loads(envelope(BELL, "q"))["properties"]["delivery_tag"] for _ in range(50)}
    assert len(tags) == 50, "copies of one step must not hide each other in a worker's window"
