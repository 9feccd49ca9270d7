import pytest

from agentfleet.provider.retry_after import MAX_SECONDS, retry_after

DATE = {"date": "Sat, 21 Nov 2026 10:00:00 GMT"}
RESET = "anthropic-ratelimit-{}-reset"
LEFT = "anthropic-ratelimit-{}-remaining"


def bucket(name: str, left: str, reset: str) -> dict[str, str]:
    return {LEFT.format(name): left, RESET.format(name): reset}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        (DATE, None),
        ({"retry-after": "2"}, 2),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "9" * 30}, MAX_SECONDS),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT", **DATE}, 30),
        ({"retry-after": "Sat, 21 Nov 2026 09:00:00 GMT", **DATE}, 0),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT"}, None),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT", "date": "today"}, None),
        ({**bucket("tokens", "0", "2026-11-21T10:00:20Z"), **DATE}, 20),
        ({**bucket("tokens", "0", "2026-11-21T12:00:20+02:00"), **DATE}, 20),
        ({**bucket("tokens", "5", "2026-11-21T10:00:20Z"), **DATE}, None),
        ({**bucket("tokens", "0", "later"), **DATE}, None),
        ({**bucket("tokens", "0", "2026-11-21T10:00:20Z")}, None),
        (
            {
                **bucket("requests", "0", "2026-11-21T10:00:20Z"),
                **bucket("input-tokens", "0", "2026-11-21T10:00:40Z"),
                **bucket("output-tokens", "9", "2026-11-21T10:00:50Z"),
                **DATE,
            },
            40,
        ),
        ({"retry-after": "2", **bucket("tokens", "0", "2026-11-21T10:00:20Z"), **DATE}, 2),
    ],
)
def test_the_providers_word_is_read_against_the_providers_clock(headers, seconds):
    assert retry_after(headers) == seconds
