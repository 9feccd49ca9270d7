"""Alerts are opened once per kind and subject, and told until somebody has heard."""

import asyncio
from datetime import timedelta

from agentfleet.domain.alerts import AlertEvent, AlertKind
from agentfleet.store import alerts
from tests.factories import execute

PARKED, OVERLOADED = AlertKind.ACCOUNT_PARKED, AlertKind.PROVIDER_OVERLOADED


async def raised(db, kind=PARKED, subject="main", message="It is parked.", **data) -> bool:
    return await alerts.raise_alert(db, kind, subject, message, data)


async def test_an_alert_is_new_once_and_then_counts(db):
    assert [await raised(db, message=f"{n}", n=n) for n in range(3)] == [True, False, False]
    [found] = await alerts.listed(db, resolved=False, limit=10)
    assert (found.kind, found.subject, found.message, found.data, found.seen) == (PARKED, "main", "2", '{"n":2}', 3)


async def test_many_at_once_open_one(db):
    new = await asyncio.gather(*(raised(db) for _ in range(20)))
    assert sum(new) == 1
    assert await alerts.count_open(db) == {PARKED: 1}


async def test_other_subjects_and_kinds_are_alerts_of_their_own(db):
    assert [await raised(db), await raised(db, subject="other"), await raised(db, OVERLOADED)] == [True] * 3
    assert await alerts.count_open(db) == {PARKED: 2, OVERLOADED: 1}


async def test_what_is_resolved_opens_again_when_it_comes_back(db):
    await raised(db)
    assert await alerts.resolve(db, PARKED, "main")
    assert not await alerts.resolve(db, PARKED, "main")
    assert await alerts.count_open(db) == {}
    assert await raised(db)
    assert len(await alerts.listed(db, resolved=True, limit=10)) == 2
    assert len(await alerts.listed(db, resolved=False, limit=10)) == 1


async def test_what_is_taken_is_tried_later_and_what_was_told_is_not(db, clock):
    await raised(db)
    [taken] = await alerts.take(db, limit=10)
    assert (taken.tries, taken.event) == (1, AlertEvent.OPENED)
    assert await alerts.take(db, limit=10) == []
    clock.advance(alerts.PAUSE)
    [again] = await alerts.take(db, limit=10)
    assert (again.id, again.tries) == (taken.id, 2)
    await alerts.mark_told(db, again)
    clock.advance(alerts.LONGEST_PAUSE * 2)
    assert await alerts.take(db, limit=10) == []


async def test_pauses_double_up_to_a_bound_and_tries_end(db, clock, database_url):
    await raised(db)
    pauses = []
    while taken := await alerts.take(db, limit=1):
        [(pause,)] = execute(database_url, "SELECT extract(epoch FROM send_at - agentfleet_now())::float FROM alerts")
        if pause is not None:
            pauses.append(round(pause))
            clock.advance(pause + 1)
    assert pauses[:4] == [15, 30, 60, 120]
    assert max(pauses) == alerts.LONGEST_PAUSE
    assert len(pauses) == alerts.MOST_TRIES - 1
    assert taken == []


async def test_two_takers_never_take_the_same(db):
    for n in range(10):
        await raised(db, subject=str(n))
    taken = [
        alert.subject
        for batch in await asyncio.gather(*(alerts.take(db, limit=5) for _ in range(4)))
        for alert in batch
    ]
    assert sorted(taken) == sorted(set(taken))


async def test_what_is_resolved_while_it_is_told_is_told_as_resolved_next(db):
    await raised(db)
    [opened] = await alerts.take(db, limit=10)
    await alerts.resolve(db, PARKED, "main")
    await alerts.mark_told(db, opened)
    [resolved] = await alerts.take(db, limit=10)
    assert (resolved.id, resolved.event, resolved.tries) == (opened.id, AlertEvent.RESOLVED, 1)


async def test_what_was_resolved_long_ago_is_forgotten_and_what_is_open_is_not(db, clock):
    await raised(db)
    await raised(db, OVERLOADED)
    await alerts.resolve(db, OVERLOADED, "main")
    clock.advance((alerts.KEEP - timedelta(hours=1)).total_seconds())
    assert await alerts.prune(db) == 0
    clock.advance(7_200)
    assert await alerts.prune(db) == 1
    assert [alert.kind for alert in await alerts.listed(db, resolved=True, limit=10)] == [PARKED]
