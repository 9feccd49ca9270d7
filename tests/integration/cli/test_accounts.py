"""`agentfleet accounts` and what the doctor says of them."""

import asyncio
import json
from typing import Any

import pytest
from click.testing import CliRunner, Result
from redis.asyncio import Redis

from agentfleet.cli.main import main
from agentfleet.domain.admission import Heard, Pace
from agentfleet.provider.admission import Admission

SECRET = "sk-ant-secret-0123456789"
ACME = {"name": "acme-1", "organization": "acme", "api_key": SECRET, "weight": 3}
AWS = {"name": "aws", "platform": "bedrock", "region": "us-east-1", "api_key": "short", "models": {"m": "x"}}


def call(*arguments: str, accounts: Any = (ACME, AWS), **env: str | None) -> Result:
    text = accounts if isinstance(accounts, str) else json.dumps(accounts)
    result = CliRunner().invoke(main, arguments, env={"AGENTFLEET_ACCOUNTS": text, "COLUMNS": "200", **env})
    assert SECRET not in result.output
    assert "Traceback" not in result.output
    return result


@pytest.fixture
def parked(redis_url: str) -> dict[str, str]:
    """The environment of a fleet in which the organization acme is parked."""

    async def park() -> None:
        async with Redis.from_url(redis_url) as redis:
            admission = Admission(redis, prefix="agentfleet", pace=Pace(), caps={})
            admission.park("acme/sonnet-5.5", 600)
            await admission.close()

    asyncio.run(park())
    return {"AGENTFLEET_REDIS_URL": redis_url}


def test_accounts_are_listed_with_their_share_and_their_keys_masked(parked):
    _, acme, aws = (line.split() for line in call("accounts", "list", **parked).stdout.splitlines())
    assert acme == ["acme-1", "anthropic", "acme", "3", "75%", "all", "***6789", "parked"]
    assert aws == ["aws", "bedrock", "aws", "1", "25%", "m", "***", "open"]


def test_without_redis_the_state_is_not_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "unknown: no Redis" in call("accounts", "list", AGENTFLEET_REDIS_URL=None).stdout


def test_a_parked_organization_is_resumed_once(parked):
    assert call("accounts", "resume", "acme", **parked).stdout == "acme is open again.\n"
    again = call("accounts", "resume", "acme", **parked)
    assert (again.exit_code, "acme is not parked" in again.stderr) == (1, True)
    assert "no account is of 'other'; organizations: acme, aws" in call("accounts", "resume", "other", **parked).stderr
    assert "parked" not in call("accounts", "list", **parked).stdout


def test_buckets_tell_limits_levels_and_gates(parked, redis_url):
    async def learn() -> None:
        async with Redis.from_url(redis_url) as redis:
            admission = Admission(redis, prefix="agentfleet", pace=Pace(), caps={})
            admission.listen("globex/haiku-4.5", Heard(limits=(1_200.0, 2_000_000.0, None)))
            admission.limited("initech/opus-5.5", 1_000.0, growth=False)
            await admission.close()

    asyncio.run(learn())
    _, acme, globex, initech = call("accounts", "buckets", **parked).stdout.splitlines()
    assert "parked, next try in" in acme
    assert "of 1,200" in globex
    assert "of 2,000,000" in globex
    *_, outputs, share, queue, state = globex.split()
    assert (outputs, queue, state) == ("unlimited", "0", "open")
    assert 25 <= int(share.rstrip("%")) < 100, "a quarter, and growing since"
    assert "shut for" in initech


def test_buckets_without_redis_says_what_to_do(unused_tcp_port):
    result = call("accounts", "buckets", AGENTFLEET_REDIS_URL=f"redis://127.0.0.1:{unused_tcp_port}")
    assert (result.exit_code, "agentfleet doctor" in result.stderr) == (1, True)


def test_the_only_account_of_old_is_listed_too(parked):
    env = {**parked, "AGENTFLEET_PROVIDER_API_KEY": SECRET}
    assert "default" in call("accounts", "list", accounts="", **env).stdout


@pytest.mark.parametrize(
    ("accounts", "says"),
    [
        ([ACME | {"weight": -1}], "account 'acme-1': weight"),
        ([{"name": "aws", "platform": "vertex", "region": "eu", "project": "p"}], "pip install 'agentfleet[vertex]'"),
        (f"[{SECRET}", "is not JSON"),
    ],
)
def test_the_doctor_names_the_account_that_is_wrong(accounts, says, monkeypatch):
    monkeypatch.setattr("agentfleet.provider.platforms._installed", lambda _: False)
    findings = json.loads(call("doctor", "--json", accounts=accounts).stdout)["findings"]
    [found] = [finding for finding in findings if finding["check"] == "accounts"]
    assert (found["level"], says in found["says"]) == ("fail", True)


def test_the_doctor_lists_accounts_that_are_well_formed():
    findings = json.loads(call("doctor", "--json").stdout)["findings"]
    said = [finding["says"] for finding in findings if finding["check"] == "accounts"]
    assert said == [
        "acme-1: anthropic, organization acme, all models, weight 3",
        "aws: bedrock, organization aws, 1 models, weight 1",
    ]
