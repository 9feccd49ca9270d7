"""A human hears of an alert: through a receiver that answers, errs, redirects, hangs or does not exist."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from agentfleet.dev.child import free_port
from agentfleet.domain.alerts import AlertKind
from agentfleet.domain.webhooks import signing_key
from agentfleet.engine import alert as engine_alert
from agentfleet.engine.alert import AlertSender
from agentfleet.store import alerts
from agentfleet.telemetry import metrics

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
PARKED = AlertKind.ACCOUNT_PARKED


@dataclass
class Receiver:
    """A server that keeps what it is posted and answers as it is told."""

    url: str = ""
    status: int = 204
    hangs: bool = False
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    leave: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        if self.hangs:
            await self.leave.wait()
        return web.Response(status=self.status, headers={"Location": self.url + "elsewhere"})

    @property
    def documents(self) -> list[dict]:
        return [json.loads(body) for _, body in self.got]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", found.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield found
    found.leave.set()
    await runner.cleanup()


@pytest.fixture
async def sender(db, receiver) -> AsyncIterator[AlertSender]:
    found = AlertSender(db, receiver.url, signing_key(SECRET))
    yield found
    await found.close()


async def raise_one(db, subject="main") -> None:
    await alerts.raise_alert(db, PARKED, subject, "The account main is parked.", {"status": 402})


async def test_an_alert_is_posted_once_signed_and_its_end_is_too(db, receiver, sender):
    await raise_one(db)
    await raise_one(db)
    assert await sender.run_once() == 1
    await raise_one(db)  # seen again: nothing new to tell
    assert await sender.run_once() == 0
    await alerts.resolve(db, PARKED, "main")
    assert await sender.run_once() == 1
    assert [d["type"] for d in receiver.documents] == ["alert.opened", "alert.resolved"]
    opened, resolved = (d["data"] for d in receiver.documents)
    assert (opened["kind"], opened["subject"], opened["details"]) == ("account_parked", "main", {"status": 402})
    assert (opened["seen"], opened["resolved_at"]) == (2, None)
    assert opened["id"] == resolved["id"]
    assert resolved["resolved_at"] is not None


async def test_a_receiver_can_verify_who_wrote(db, receiver, sender):
    await raise_one(db)
    await sender.run_once()
    [(headers, body)] = receiver.got
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(b"k" * 32, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 300
    assert headers["Content-Type"] == "application/json"


async def test_a_receiver_that_errs_is_told_again_under_the_same_id(db, receiver, sender, clock):
    receiver.status = 500
    await raise_one(db)
    assert await sender.run_once() == 0
    assert await sender.run_once() == 0  # not before its pause
    assert len(receiver.got) == 1
    receiver.status = 200
    clock.advance(alerts.PAUSE)
    assert await sender.run_once() == 1
    first, second = (headers["webhook-id"] for headers, _ in receiver.got)
    assert first == second


async def test_a_redirect_is_not_followed(db, receiver, sender):
    receiver.status = 307
    await raise_one(db)
    assert await sender.run_once() == 0
    assert len(receiver.got) == 1


async def test_a_receiver_that_hangs_is_left_and_holds_up_no_other(db, receiver, sender, monkeypatch, clock):
    monkeypatch.setattr(engine_alert, "TRY", 0.2)
    receiver.hangs = True
    for subject in "abc":
        await raise_one(db, subject)
    assert await sender.run_once() == 0
    assert len(receiver.got) == 3
    receiver.hangs = False
    clock.advance(alerts.PAUSE)
    assert await sender.run_once() == 3


async def test_a_receiver_that_does_not_exist_costs_a_try_and_no_error(db):
    sender = AlertSender(db, f"http://127.0.0.1:{free_port()}/", None)
    await raise_one(db)
    assert await sender.run_once() == 0
    await sender.close()


async def test_without_a_url_the_log_is_told_and_nothing_is_kept_for_later(db, receiver):
    await raise_one(db)
    assert await AlertSender(db, None, None).run_once() == 1
    later = AlertSender(db, receiver.url, None)
    assert await later.run_once() == 0
    assert receiver.got == []


async def test_open_alerts_are_counted_by_kind(db, sender):
    def shown(kind: AlertKind) -> float:
        return metrics.ALERTS_OPEN.labels(kind.value)._value.get()

    await raise_one(db)
    await raise_one(db, "other")
    await sender.run_once()
    assert (shown(PARKED), shown(AlertKind.DEAD_LETTERS)) == (2, 0)
    await alerts.resolve(db, PARKED, "main")
    await sender.run_once()
    assert shown(PARKED) == 1
