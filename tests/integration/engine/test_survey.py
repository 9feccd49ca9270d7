"""A parked account tells a human, with the provider's words, until it works again."""

import json

import pytest
from redis.asyncio import Redis

from agentfleet.domain.admission import FAILURES_TO_SHUT, Heard, Need, Pace
from agentfleet.domain.errors import ProviderParked
from agentfleet.engine import survey as module
from agentfleet.engine.survey import Surveyor
from agentfleet.provider.admission import Admission
from agentfleet.store import alerts
from agentfleet.telemetry import metrics
from tests.factories import submit, tally
from tests.scripted import Bells, Script, Worker, answer

BUCKET = "acme/sonnet-5.5"


@pytest.fixture
def admission(redis: Redis) -> Admission:
    return Admission(redis, prefix="test", pace=Pace(probe=600, turn=600), caps={})


async def opened(db) -> dict[tuple[str, str], str]:
    """The messages of all open alerts."""
    return {(alert.kind, alert.subject): alert.message for alert in await alerts.listed(db, resolved=False, limit=100)}


def gauge(account: str = "acme") -> float:
    return metrics.ACCOUNT_PARKED.labels(account)._value.get()


async def park(db, bells: Bells, admission: Admission):
    """One run is refused for good; what the tables say about it."""

    async def refuse(request):
        del request
        admission.park(BUCKET, 600)
        await admission.close()
        error = ProviderParked("429: the spend limit is reached", status=429, error_code="enforced_spend_limit_reached",
                               request_id="req_1")  # fmt: skip
        error.need = Need(BUCKET, 10, 10)
        raise error

    accepted = await submit(db)
    await Worker(db, bells, Script([answer()], before=refuse)).execute(accepted.step_id)
    return await tally(db, accepted.run_id)


@pytest.mark.usefixtures("invariants_hold")
async def test_a_parked_account_opens_an_alert_and_the_runs_event_says_why(db, bells, admission):
    found = await park(db, bells, admission)
    message = (await opened(db))["account_parked", "acme"]
    assert "the spend limit is reached" in message
    assert "agentfleet accounts resume acme" in message
    [alert] = await alerts.listed(db, resolved=False, limit=10)
    assert json.loads(alert.data)["request_id"] == "req_1"
    event = next(json.loads(event.data) for event in found.events if event.type == "step.snoozed")
    assert event["verdict"] == "park"
    assert (found.run.state, found.steps[0].bucket, found.steps[0].attempt) == ("waiting", BUCKET, 0)
    await Surveyor(db, admission).run_once()
    assert gauge() == 1


async def test_two_runs_that_are_refused_open_one_alert(db, bells, admission):
    for _ in range(2):
        await park(db, bells, admission)
    [alert] = await alerts.listed(db, resolved=False, limit=10)
    assert alert.seen == 2


@pytest.mark.parametrize("how", ["success", "command"])
async def test_it_is_over_when_a_probe_succeeds_or_a_human_says_so(db, bells, admission, how):
    await park(db, bells, admission)
    surveyor = Surveyor(db, admission)
    await surveyor.run_once()
    assert await opened(db)
    if how == "command":
        await admission.resume("acme")
    else:
        admission.succeeded(BUCKET, begun=1e12)
        await admission.close()
    await surveyor.run_once()
    assert await opened(db) == {}
    assert gauge() == 0


async def test_without_redis_nothing_is_said_to_be_over(db, bells, admission, monkeypatch):
    await park(db, bells, admission)

    async def nobody_knows():
        return None

    monkeypatch.setattr(admission, "survey", nobody_knows)
    await Surveyor(db, admission).run_once()
    assert await opened(db)


async def test_other_alerts_are_left_alone(db, admission):
    await alerts.raise_alert(db, alerts.AlertKind.DEAD_LETTERS, "batch-1", "Lost.", {})
    await Surveyor(db, admission).run_once()
    assert await opened(db)


async def test_a_model_that_stays_overloaded_opens_an_alert_until_it_answers(db, admission, monkeypatch):
    for _ in range(FAILURES_TO_SHUT):
        admission.overloaded(BUCKET)
    await admission.close()
    surveyor = Surveyor(db, admission)
    await surveyor.run_once()
    assert await opened(db) == {}, "most times it is over soon"
    monkeypatch.setattr(module, "OVERLOADED_FOR", 0.0)
    await surveyor.run_once()
    assert list(await opened(db)) == [("provider_overloaded", BUCKET)]
    admission.succeeded(BUCKET, begun=1e12)
    await admission.close()
    await surveyor.run_once()
    assert await opened(db) == {}


async def test_the_survey_tells_how_every_bucket_is(admission):
    admission.listen(BUCKET, Heard(limits=(120.0, 60_000.0, 12_000.0)))
    admission.limited(BUCKET, 30.0, growth=False)
    admission.park("globex/haiku-4.5", 600)
    await admission.close()
    found = await admission.survey()
    assert found is not None
    acme, globex = found.buckets
    assert (acme.name, acme.known, acme.limits) == (BUCKET, True, (120.0, 60_000.0, 12_000.0))
    assert 25 < acme.shut_for <= 30
    assert acme.probed_for == 0
    assert acme.levels[1] <= 5_000
    assert not globex.known
    assert list(found.parked) == ["globex"]


async def test_an_account_whose_runs_all_went_elsewhere_is_told_of_too(db, admission):
    admission.park(BUCKET, 600)
    await admission.close()
    for _ in range(2):
        await Surveyor(db, admission).run_once()
    assert "acme cannot be used" in (await opened(db))["account_parked", "acme"]
    [alert] = await alerts.listed(db, resolved=False, limit=10)
    assert alert.seen == 1, "told once"
    await admission.resume("acme")
    await Surveyor(db, admission).run_once()
    assert await opened(db) == {}
