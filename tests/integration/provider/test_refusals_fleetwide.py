"""What one process is told when it is refused holds for all: two reasoners on one Redis, through the real SDK."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from agentfleet.domain.admission import FAILURES_TO_SHUT, UNLIMITED, Pace
from agentfleet.domain.errors import (
    ProviderBusy,
    ProviderOverloaded,
    ProviderParked,
    ProviderRateLimited,
    StepError,
)
from agentfleet.engine.ports import Reasoned
from agentfleet.provider.account import Account
from agentfleet.provider.admission import Admission
from agentfleet.provider.limits import Limits
from agentfleet.provider.quota import Quota
from agentfleet.provider.reasoner import AnthropicReasoner
from agentfleet.simulator.armed import Match, Order
from agentfleet.simulator.config import SimulatorConfig
from agentfleet.simulator.serve import Running
from tests.integration.provider.talk import MODEL, ask
from tests.scripted import until

BUCKET = "acme/sonnet-5.5"
HAIKU = "claude-haiku-4-5"
PROBE, OVERLOAD_PROBE = 300.0, 10.0
TIMES = ("at", "used_at", "ramp_at", "until", "look_at", "since", "queued_until")


class Fleet:
    """Two processes with one account in each of two organizations, and the time of simulator and Redis."""

    def __init__(self, sim: Running, redis: Redis) -> None:
        self.sim, self.redis = sim, redis
        self.admissions = [
            Admission(redis, prefix="test", pace=Pace(probe=OVERLOAD_PROBE, turn=1e-9), caps={}) for _ in range(2)
        ]
        self.reasoners = {
            (process, name): AnthropicReasoner(
                [Account(name=name, api_key=SecretStr(f"{name}/1"), base_url=sim.url)],
                limits=Limits(20),
                quota=Quota(admission, reads_count=(), probe=PROBE),
            )
            for process, admission in enumerate(self.admissions)
            for name in ("acme", "globex")
        }
        self._asked = 0

    async def ask(self, process: int = 0, *, account: str = "acme", **changes: Any) -> Reasoned:
        self._asked += 1
        step = replace(ask(**changes), run_id=f"run-{self._asked}", step_id=f"step-{self._asked}")
        try:
            return await self.reasoners[process, account].reason(step, None)
        finally:
            await self.admissions[process].close()  # what it has learned has been told

    async def refused(self, process: int = 0, **changes: Any) -> StepError:
        with pytest.raises(StepError) as caught:
            await self.ask(process, **changes)
        return caught.value

    async def busy(self, process: int = 0, **changes: Any) -> float:
        """Not sent; seconds to wait."""
        calls = self.calls
        error = await self.refused(process, **changes)
        assert isinstance(error, ProviderBusy)
        assert self.calls == calls
        return error.retry_after or 0.0

    @property
    def calls(self) -> int:
        """That have reached the provider."""
        return self.sim.simulator.log.total

    def arm(self, fault: str, *, times: int | None = None, **match: Any) -> None:
        self.sim.simulator.faults.arm(Order(fault=fault, times=times, match=Match(**match)))

    def lift(self) -> None:
        for armed in self.sim.simulator.faults.standing():
            self.sim.simulator.faults.lift(armed.id)

    async def pass_time(self, seconds: float) -> None:
        """In the simulator, and in Redis, where everything becomes older."""
        self.sim.simulator.clock.advance(seconds)
        async for key in self.redis.scan_iter("test:*"):
            if await self.redis.type(key) == b"hash":
                for name in TIMES:
                    if (value := await self.redis.hget(key, name)) and float(value):
                        await self.redis.hset(key, name, float(value) - seconds)

    async def bucket(self, *fields: str, name: str = BUCKET) -> list[float]:
        return [float(value or 0) for value in await self.redis.hmget(f"test:bucket:{name}", fields)]

    async def limits(self) -> list[float]:
        return await self.bucket("limits1", "limits2", "limits3")


@pytest.fixture
async def fleet(sim: Running, redis: Redis) -> AsyncIterator[Fleet]:
    fleet = Fleet(sim, redis)
    yield fleet
    for reasoner in fleet.reasoners.values():
        await reasoner.close()


def limit(sim: Running, **limits: Any) -> None:
    patched = SimulatorConfig().patched({"limits_by_group": {BUCKET: limits}})
    sim.simulator.configure(patched)


async def _true(value: object) -> bool:
    return bool(value)


@pytest.mark.parametrize("fault", [None, "invalid_request", "stream_api_error", "server_error"])
async def test_limits_are_learned_from_the_headers_of_every_answer(fleet, fault):
    limit(fleet.sim, requests_per_minute=70, input_tokens_per_minute=80_000, output_tokens_per_minute=9_000)
    if fault is None:
        await fleet.ask()
    else:
        fleet.arm(fault)
        await fleet.refused()
    assert await fleet.limits() == [70, 80_000, 9_000]


async def test_a_refusal_without_limits_says_nothing_about_them(fleet, wire):
    url = await wire(b"HTTP/1.1 529 Overloaded\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
    account = Account(name="acme", api_key=SecretStr("acme/1"), base_url=url)
    quota = Quota(fleet.admissions[0], reads_count=(), probe=PROBE)
    reasoner = AnthropicReasoner([account], limits=Limits(5), quota=quota)
    with pytest.raises(ProviderOverloaded):
        await reasoner.reason(ask(), None)
    await fleet.admissions[0].close()
    await reasoner.close()
    assert (await fleet.limits())[0] < UNLIMITED[0]


async def test_nobody_calls_before_the_retry_after(fleet):
    fleet.arm("rate_limited", times=1, organization="acme", model=MODEL)
    error = await fleet.refused(0)
    assert isinstance(error, ProviderRateLimited)
    for process in (0, 1):
        assert 0 < await fleet.busy(process) <= 2
    assert (await fleet.ask(1, account="globex")).account == "globex"
    await fleet.ask(1, model=HAIKU)
    await fleet.pass_time(2.1)
    await fleet.ask(1)
    assert fleet.sim.simulator.log.early() == []


async def test_under_pressure_no_call_is_early_but_those_that_were_on_their_way(fleet):
    limit(fleet.sim, requests_per_minute=60, input_tokens_per_minute=60_000, output_tokens_per_minute=60_000)
    fleet.sim.simulator.configure(fleet.sim.simulator.config.patched({"burst_seconds": 1}))
    for _ in range(30):
        await asyncio.gather(*(fleet.ask(n % 2) for n in range(10)), return_exceptions=True)
        await fleet.pass_time(1.0)
    assert fleet.sim.simulator.log.stats()["by_status"]["200"] >= 10
    assert [early for early in fleet.sim.simulator.log.early() if early["since_refusal"] > 0.5] == []


async def test_growth_that_was_too_fast_slows_the_ramp_for_everybody(fleet):
    await fleet.ask(0)
    [before] = await fleet.bucket("ramp_for")
    fleet.arm("ramp_limit_exceeded", times=1)
    await fleet.refused(0)
    assert 4 < await fleet.busy(1) <= 5
    assert await fleet.bucket("ramp_for") == [2 * before]
    await fleet.pass_time(5.1)
    await fleet.ask(1)
    assert fleet.sim.simulator.log.early() == []


@pytest.mark.parametrize("fault", ["overloaded", "stream_overloaded"])
async def test_an_overloaded_model_is_looked_at_by_one_call_per_period_and_recovers_slowly(fleet, fault):
    fleet.arm(fault, model=MODEL)
    for number in range(FAILURES_TO_SHUT):
        assert isinstance(await fleet.refused(number % 2), ProviderOverloaded)
    await fleet.ask(0, model=HAIKU)
    for _ in range(3):
        assert 0 < await fleet.busy(0) <= OVERLOAD_PROBE
        calls = fleet.calls
        await fleet.pass_time(OVERLOAD_PROBE)
        found = await asyncio.gather(*(fleet.refused(n % 2) for n in range(10)))
        assert fleet.calls == calls + 1
        assert [type(error) for error in found].count(ProviderOverloaded) == 1
    fleet.lift()
    await fleet.pass_time(OVERLOAD_PROBE)
    await fleet.ask(1)
    every, ramp_from = await fleet.bucket("every", "ramp_from")
    assert (every, ramp_from) == (0, Pace().ramp_start)
    await asyncio.gather(*(fleet.ask(n % 2) for n in range(10)))


PARKING = (
    "enforced_spend_limit_reached",
    "contract_spend_limit_reached",
    "linked_organization_spend_limit_reached",
    "own_spend_limit",
    "organization_on_hold",
    "unauthorized",
    "payment_required",
    "forbidden",
)


@pytest.mark.parametrize("fault", PARKING)
async def test_a_closed_account_is_parked_as_a_whole_and_resumes_by_itself(fleet, fault):
    fleet.arm(fault, organization="acme")
    assert isinstance(await fleet.refused(0), ProviderParked)
    assert await fleet.admissions[1].parked(["acme", "globex"]) == {"acme"}
    assert OVERLOAD_PROBE < await fleet.busy(1) <= PROBE
    assert OVERLOAD_PROBE < await fleet.busy(1, model=HAIKU) <= PROBE
    assert (await fleet.ask(1, account="globex")).account == "globex"

    calls = fleet.calls
    await fleet.pass_time(PROBE)
    found = await asyncio.gather(*(fleet.refused(n % 2) for n in range(10)))
    assert [type(error) for error in found].count(ProviderParked) == 1
    assert fleet.calls == calls + 1, "one looks, and finds it closed"

    fleet.lift()
    await fleet.pass_time(PROBE)
    await fleet.ask(1)
    assert await fleet.admissions[0].parked(["acme"]) == frozenset()
    await fleet.ask(0)


async def test_a_parked_account_resumes_on_command(fleet):
    fleet.arm("enforced_spend_limit_reached", organization="acme")
    await fleet.refused(0)
    await fleet.busy(1)
    fleet.lift()
    assert await fleet.admissions[0].resume("acme")
    await fleet.ask(1)


async def test_the_answer_of_a_call_that_was_under_way_does_not_open_a_parked_account(fleet):
    fleet.sim.simulator.configure(SimulatorConfig(first_token_ms=300))
    under_way = asyncio.create_task(fleet.ask(0))
    await until(lambda: _true(fleet.calls), "it has been sent")
    fleet.arm("enforced_spend_limit_reached", model=HAIKU)
    await fleet.refused(1, model=HAIKU)
    await under_way
    assert await fleet.admissions[1].parked(["acme"]) == {"acme"}
