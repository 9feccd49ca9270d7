from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from agentfleet.domain.budget import Usage
from agentfleet.domain.model import Bundle, Message
from agentfleet.engine.ports import ReasonRequest
from agentfleet.provider.prompt_cache import count_prompt_cache, missed_tokens

SAID = [Message(0, 0, "user", '["x"]'), Message(1, 0, "assistant", "x" * 400), Message(2, 0, "user", '["y"]')]
ASKED = ReasonRequest(
    Bundle("b", "a", {"cache": True}), SAID, 999, "r", "s", "m", prompt_tokens=10_100, prompt_age=3.0
)  # 10,000 tokens of prompt, 100 of answer, which 200 stand for


@pytest.mark.parametrize(
    ("usage", "missed"),
    [
        (Usage(50, 10, cache_read_tokens=10_000, cache_write_tokens=200), 0),
        (Usage(10_250, 10), 9_900),
        (Usage(50, 10, cache_write_tokens=10_200), 9_900),
        (Usage(50, 10, cache_read_tokens=4_000, cache_write_tokens=6_200), 5_900),
        (Usage(0, 10, cache_read_tokens=5_000), 0),  # the conversation was compacted: there was no more to read
    ],
    ids=["all read", "all fresh", "all written again", "half read", "shorter than before"],
)
def test_what_should_have_been_read_and_was_paid_in_full_is_missed(usage: Usage, missed: int):
    assert missed_tokens(ASKED, usage) == missed


@pytest.mark.parametrize(
    "request_",
    [
        replace(ASKED, prompt_age=None, prompt_tokens=None),
        replace(ASKED, prompt_age=241.0),
        replace(ASKED, bundle=Bundle("b", "a", {"cache": False})),
        replace(ASKED, prompt_tokens=4_000),
    ],
    ids=["the first call", "too long ago", "cache=False", "too short for some models"],
)
def test_nothing_is_missed_that_nobody_promised(request_: ReasonRequest):
    assert missed_tokens(request_, Usage(10_250, 10)) == 0


def test_a_call_is_counted_by_what_the_cache_did_for_it():
    def counted(result: str) -> float:
        labels = {"model": "counted", "result": result}
        return REGISTRY.get_sample_value("agentfleet_prompt_cache_tokens_total", labels) or 0.0

    count_prompt_cache(ASKED, "counted", Usage(50, 10, cache_read_tokens=4_000, cache_write_tokens=6_200))
    assert [counted(result) for result in ("read", "written", "missed")] == [4_000, 6_200, 5_900]
