"""Which accounts there are: what may be listed, and what is said about what may not."""

import json
from typing import Any

import pytest
from pydantic import SecretStr

from agentfleet.domain.errors import InvalidInput
from agentfleet.provider.account import Account, Platform
from agentfleet.provider.accounts import read_accounts
from agentfleet.settings import Settings

SECRET = "sk-ant-secret-0123456789"


def read(*accounts: Any, **env: str) -> tuple[Account, ...]:
    return read_accounts(json.dumps(accounts), base_url="http://ignored", api_key="ignored", env=env.get)


def plain(name: str = "acme", **fields: Any) -> dict[str, Any]:
    return {"name": name, "api_key": SECRET, **fields}


def test_without_a_list_there_is_the_one_account_of_old():
    (account,) = read_accounts(None, base_url="http://127.0.0.1:1", api_key="sim\n", env={}.get)
    assert (account.name, account.organization, account.platform) == ("default", "default", Platform.ANTHROPIC)
    assert account.api_key == SecretStr("sim")
    assert account.base_url == "http://127.0.0.1:1"


def test_an_account_is_its_own_organization_unless_it_says_otherwise():
    first, second, third = read(plain("one", organization="acme"), plain("two", organization="acme"), plain("three"))
    assert first.organization == second.organization == "acme"
    assert third.organization == "three"


def test_a_key_may_be_in_the_environment():
    (account,) = read({"name": "acme", "api_key_env": "ACME_KEY"}, ACME_KEY=f"{SECRET}\n")
    assert account.api_key == SecretStr(SECRET)


def test_each_platform_is_described_by_what_it_needs():
    accounts = read(
        {"name": "aws", "platform": "bedrock", "region": "us-east-1", "models": {"claude-sonnet-5-5": "anthropic.x"}},
        {"name": "mantle", "platform": "bedrock-mantle", "region": "us-east-1"},
        {"name": "gcp", "platform": "vertex", "region": "global", "project": "p"},
        plain("azure", platform="foundry", resource="r"),
        plain("proxy", platform="foundry", base_url="https://proxy/anthropic"),
    )
    assert [account.platform.value for account in accounts] == [
        "bedrock",
        "bedrock-mantle",
        "vertex",
        "foundry",
        "foundry",
    ]
    aws, gcp = accounts[0], accounts[2]
    assert (aws.serves("claude-sonnet-5-5"), aws.serves("claude-opus-5")) == (True, False)
    assert (aws.model_id("claude-sonnet-5-5"), gcp.model_id("claude-opus-5")) == ("anthropic.x", "claude-opus-5")


@pytest.mark.parametrize(
    ("account", "problem"),
    [
        ({"name": "acme"}, "'acme': api_key is missing"),
        ({"name": "acme", "api_key_env": "NOT_THERE"}, "'acme': api_key_env: the environment variable NOT_THERE"),
        (plain(api_key_env="X"), "'acme': api_key_env: names an environment variable, in place of api_key"),
        ({"api_key": SECRET}, "account 1: name"),
        (plain("Ac me"), "'Ac me': name: String should match"),
        (plain(platform="openai"), "'acme': platform: Input should be 'anthropic'"),
        (plain(platform="bedrock"), "'acme': region is missing: the platform 'bedrock' needs it"),
        (plain(platform="vertex", region="eu"), "'acme': project is missing"),
        (plain(platform="foundry"), "'acme': resource is missing"),
        (plain(platform="foundry", resource="r", base_url="https://x"), "'acme': give resource or base_url"),
        (plain(region="us-east-1"), "'acme': region means nothing to the platform 'anthropic'"),
        (plain(base_url="api.anthropic.com"), "'acme': base_url: must be an http or https URL"),
        (plain(weight=0), "'acme': weight: Input should be greater than 0"),
        (plain(weight="much"), "'acme': weight: Input should be a valid number"),
        (plain(colour="red"), "'acme': colour: Extra inputs are not permitted"),
        (plain(api_key=f"{SECRET} x"), "'acme': api_key: is empty or holds characters"),
        (plain(models={"claude-opus-5": ""}), "'acme': models.claude-opus-5: String should have"),
        (SECRET, "account 1: Input should be"),
    ],
)
def test_a_wrong_account_is_refused_by_name_and_field_and_without_its_key(account: Any, problem: str):
    with pytest.raises(InvalidInput) as caught:
        read(account)
    assert str(caught.value).startswith("AGENTFLEET_ACCOUNTS: account ")
    assert problem in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[{"name": "acme", "api_key": "sk-ant-secret', "is not JSON"),
        ("{}", "must be a JSON list"),
        ("[]", "must be a JSON list"),
        (json.dumps([plain(), plain()]), "two accounts are called 'acme'"),
        (
            json.dumps([plain("a", organization="o"), plain("b", organization="o", platform="foundry", resource="r")]),
            "the organization 'o' has accounts of two platforms",
        ),
    ],
)
def test_a_wrong_list_is_refused_without_its_keys(text: str, problem: str):
    with pytest.raises(InvalidInput, match=problem) as caught:
        read_accounts(text, base_url=None, api_key=None, env={}.get)
    assert "secret" not in str(caught.value)


def test_a_key_is_shown_to_nobody():
    (account,) = read(plain())
    assert SECRET not in f"{account!r} {account} {account.model_dump_json()}"
    assert account.masked_key == "***6789"
    assert read(plain(api_key="short"))[0].masked_key == "***"


def test_the_list_may_be_in_a_file(tmp_path, monkeypatch):
    file = tmp_path / "accounts.json"
    file.write_text(json.dumps([plain()]))
    monkeypatch.setenv("AGENTFLEET_ACCOUNTS", f"@{file}")
    accounts = Settings().accounts
    assert accounts is not None
    assert accounts.get_secret_value() == file.read_text()
    assert SECRET not in repr(Settings())


def test_a_file_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("AGENTFLEET_ACCOUNTS", f"@{tmp_path}/nothing.json")
    with pytest.raises(ValueError, match=r"nothing.json cannot be read: No such file"):
        Settings()
