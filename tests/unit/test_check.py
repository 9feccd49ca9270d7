"""What a process refuses to start with, before logs are configured: then it is told in one line."""

import pytest
from pydantic import ValidationError

from agentfleet import bootstrap
from agentfleet.broker.place import read_place
from agentfleet.domain.errors import InvalidInput
from agentfleet.settings import Settings

SERVERS = {"database_url": "postgresql://none/none", "redis_url": "redis://none", "provider_api_key": "sim"}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"provider_limits": "x"}, "AGENTFLEET_PROVIDER_LIMITS: is not JSON"),
        ({"provider_limits": '{"sonnet-5.5": {"requests": 0}}'}, "sonnet-5.5.requests"),
        ({"provider_limits": '{"sonnet-5.5": {"requests": Infinity}}'}, "sonnet-5.5.requests"),
        ({"provider_limits": '{"sonnet-5.5": {"requests": 1e-300}}'}, "sonnet-5.5.requests"),
        ({"accounts": "x"}, "AGENTFLEET_ACCOUNTS: is not JSON"),
        ({"accounts": '[{"name": "a"}]'}, "account 'a'"),
        ({"provider_base_url": "nowhere"}, "AGENTFLEET_PROVIDER_BASE_URL"),
        ({"provider_api_key": " "}, "AGENTFLEET_PROVIDER_API_KEY: is not set"),
    ],
)
def test_what_the_provider_cannot_be_called_with_is_refused_at_the_start(settings, says):
    with pytest.raises(InvalidInput, match=says):
        bootstrap.check(Settings(**{**SERVERS, **settings}), provider=True)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"database_url": "secr/et"}, "AGENTFLEET_DATABASE_URL: is not postgresql://"),
        ({"redis_url": "redis://:secr/et@none:6379/0"}, "AGENTFLEET_REDIS_URL: has a host:port that is none.*%2F"),
        ({"redis_url": "redis://none:6379/secr"}, "AGENTFLEET_REDIS_URL: has a database that is no number"),
    ],
)
def test_a_url_that_cannot_be_read_is_not_shown_since_it_may_hold_a_password(settings, says):
    with pytest.raises(InvalidInput, match=says) as refused:
        bootstrap.check(Settings(**{**SERVERS, **settings}))
    assert "secr" not in str(refused.value)


def test_the_place_of_redis_hides_its_passwords_wherever_it_is_printed():
    place = read_place(Settings(redis_url="redis://user:secret@none:6379/0", sentinel_password="secret"))
    assert "secret" not in f"{place} {place!r}"


@pytest.mark.parametrize("never", ["inf", "nan", "-1", "0"])
def test_a_duration_is_a_number_of_seconds_that_pass(monkeypatch, never):
    monkeypatch.setenv("AGENTFLEET_PROVIDER_PROBE", never)
    with pytest.raises(ValidationError, match="provider_probe"):
        Settings()


def test_who_does_not_call_needs_no_account():
    bootstrap.check(Settings(**{**SERVERS, "provider_api_key": None}))
