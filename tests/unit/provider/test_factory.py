import subprocess
import sys
from typing import Any

import pytest

from agentfleet.domain.errors import InvalidInput
from agentfleet.provider.factory import make_reasoner
from agentfleet.provider.limits import Limits

PLAIN: dict[str, Any] = {"base_url": None, "api_key": "k", "limits": Limits(10)}


class Own:
    """A reasoner of one's own."""

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments

    async def reason(self, request, on_text):
        raise NotImplementedError

    async def close(self):
        pass


not_callable = 3


def test_a_reasoner_of_ones_own_gets_the_same_plain_arguments():
    own = make_reasoner(f"{__name__}:Own", **PLAIN)
    assert isinstance(own, Own)
    assert own.arguments == PLAIN


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("openai", "must be 'anthropic' or"),
        (":make", "must be 'anthropic' or"),
        ("nowhere.at_all:make", "cannot be imported"),
        (f"{__name__}:missing", "cannot be imported"),
        (f"{__name__}:not_callable", "not callable"),
        ("builtins:dict", "no Reasoner"),
    ],
)
def test_a_provider_that_is_none_is_refused_by_name(name, problem):
    with pytest.raises(InvalidInput, match=problem) as caught:
        make_reasoner(name, **PLAIN)
    assert caught.value.field == "AGENTFLEET_PROVIDER"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"api_key": None}, "AGENTFLEET_PROVIDER_API_KEY"),
        ({"api_key": " \n"}, "AGENTFLEET_PROVIDER_API_KEY"),
        ({"api_key": "sk-ant-secret with-space"}, "AGENTFLEET_PROVIDER_API_KEY"),
        ({"api_key": "sk-ant-secret\x00"}, "AGENTFLEET_PROVIDER_API_KEY"),
        ({"api_key": "sk-ant-secrét"}, "AGENTFLEET_PROVIDER_API_KEY"),
        ({"base_url": ""}, "AGENTFLEET_PROVIDER_BASE_URL"),
        ({"base_url": "api.anthropic.com"}, "AGENTFLEET_PROVIDER_BASE_URL"),
        ({"base_url": "ftp://host"}, "AGENTFLEET_PROVIDER_BASE_URL"),
    ],
)
def test_a_client_that_could_not_send_is_refused_at_once_and_without_the_key(change: dict[str, Any], field: str):
    with pytest.raises(InvalidInput) as caught:
        make_reasoner("anthropic", **(PLAIN | change))
    assert caught.value.field == field
    assert "secr" not in str(caught.value)


async def test_a_key_from_a_file_may_end_in_a_newline():
    arguments: dict[str, Any] = {**PLAIN, "api_key": "sk-ant-x\n"}
    await make_reasoner("anthropic", **arguments).close()


def test_the_sdk_is_imported_only_by_a_process_that_calls_the_provider():
    script = (
        "import sys; import agentfleet.provider.factory; print('anthropic' in sys.modules, 'aiohttp' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
