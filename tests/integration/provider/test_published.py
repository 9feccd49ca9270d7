"""The organization's list of limits, read by the real SDK: buckets know them before the first call."""

import pytest
import structlog
from pydantic import SecretStr
from redis.asyncio import Redis

from agentfleet.domain.admission import Need, Pace
from agentfleet.domain.errors import InvalidInput
from agentfleet.provider.account import Account
from agentfleet.provider.admission import Admission
from agentfleet.provider.limits import Limits
from agentfleet.provider.published import PublishedLimits
from agentfleet.simulator.armed import Match, Order
from agentfleet.simulator.serve import Running

KEY = "acme/admin-0123456789abcdef"


@pytest.fixture
def admission(redis: Redis) -> Admission:
    return Admission(redis, prefix="test", pace=Pace(), caps={})


def account(url: str, name: str = "acme", **more: str) -> Account:
    return Account(name=name, api_key=SecretStr(f"{name}/1"), base_url=url, **more)


async def read(sim: Running, admission: Admission) -> None:
    assert await PublishedLimits(admission, [account(sim.url)], KEY, Limits(5)).run_once() == 0
    await admission.close()


async def test_every_group_is_told_its_limits_and_whether_cache_reads_count(sim, admission):
    limits = {
        "acme/sonnet-5.5": {"requests_per_minute": 70, "input_tokens_per_minute": 80_000},
        "haiku-4.5": {"requests_per_minute": 90, "cache_reads_count": True, "output_tokens_per_minute": 5_000},
    }
    sim.simulator.configure(sim.simulator.config.patched({"limits_by_group": limits}))
    await read(sim, admission)
    found = {bucket.name: bucket for bucket in (await admission.survey()).buckets}
    assert found["acme/sonnet-5.5"].limits[:2] == (70, 80_000)
    assert found["acme/haiku-4.5"].limits[::2] == (90, 5_000)
    assert all(bucket.known for bucket in found.values())
    assert {"acme/opus-5.5", "acme/opus-4.x"} <= set(found), "groups are ours, whatever models they list"
    for bucket, counts in (("acme/haiku-4.5", True), ("acme/sonnet-5.5", False)):
        await admission.reserve(Need(bucket, 1, 1), "step")
        assert admission.reads_count(bucket) is counts


@pytest.mark.parametrize("fault", ["forbidden", "server_error_html", "reset_before_headers", "missing_fields"])
async def test_what_cannot_be_read_is_logged_and_learned_from_answers(sim, admission, fault):
    sim.simulator.faults.arm(Order(fault=fault, match=Match(endpoint="rate_limits")))
    with structlog.testing.capture_logs() as logs:
        await read(sim, admission)
    assert [line["event"] for line in logs if line["log_level"] == "warning"] in (["limits_not_read"], [])
    assert KEY not in str(logs)


@pytest.mark.parametrize("others", [["globex"], None])
def test_a_key_for_none_or_several_organizations_is_refused(admission, others):
    accounts = [account("http://127.0.0.1:1"), *(account("http://127.0.0.1:1", name) for name in others or ())]
    if others is None:
        accounts = [Account(name="cloud", platform="bedrock-mantle", region="us-east-1")]
    with pytest.raises(InvalidInput, match="PROVIDER_ADMIN_KEY"):
        PublishedLimits(admission, accounts, KEY, Limits(5))
