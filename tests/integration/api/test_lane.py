"""Which lane a posted run takes, and what a deadline may look like."""

import pytest

from tests.factories import execute
from tests.integration.api.answers import pointers, problem

GOOD = {"agent": "support", "input": "x"}
HOUR = 3_600


async def lane_of(client, database_url: str, **body: object) -> tuple[str | None, float | None]:
    """The lane of an accepted run, and its deadline in seconds."""
    response = await client.post("/v1/runs", json={**GOOD, **body})
    assert response.status_code == 202, response.text
    query = "SELECT lane, round(extract(epoch FROM deadline_at - created_at))::float8 FROM runs WHERE id = %s"
    return execute(database_url, query, response.json()["id"])[0]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (None, None)),
        ({"deadline": 6 * HOUR}, ("batch", 6 * HOUR)),
        ({"deadline": "6h"}, ("batch", 6 * HOUR)),
        ({"deadline": "1d12h"}, ("batch", 36 * HOUR)),
        ({"deadline": "90m"}, (None, 1.5 * HOUR)),
        ({"deadline": "90m", "lane": "batch"}, ("batch", 1.5 * HOUR)),
        ({"deadline": "2d", "lane": "direct"}, (None, 48 * HOUR)),
        ({"deadline": "2d", "lane": None}, ("batch", 48 * HOUR)),
        ({"agent": "orders", "input": {"number": 1}, "deadline": "2d"}, (None, 60)),
        ({"agent": "orders", "input": {"number": 1}, "lane": "batch"}, ("batch", 60)),
    ],
)
async def test_a_run_with_time_takes_the_batch_lane_unless_it_is_told_otherwise(
    client, database_url: str, body: dict, expected: tuple
) -> None:
    assert await lane_of(client, database_url, **body) == expected


@pytest.mark.parametrize(
    ("body", "place", "words"),
    [
        ({"lane": "batch"}, "/lane", "needs a deadline"),
        ({"lane": "fast", "deadline": "6h"}, "/lane", "must be batch or direct"),
        ({"lane": ["batch"]}, "/lane", "must be batch or direct"),
        ({"deadline": "soon"}, "/deadline", "6h"),
        ({"deadline": ""}, "/deadline", "6h"),
        ({"deadline": "0h"}, "/deadline", "more than 0"),
        ({"deadline": "400d"}, "/deadline", "at most"),
    ],
)
async def test_a_lane_that_cannot_be_taken_is_refused_with_the_reason(
    client, body: dict, place: str, words: str
) -> None:
    response = await client.post("/v1/runs", json={**GOOD, **body})
    assert problem(response, 422) == "invalid_request"
    assert pointers(response) == {place}
    assert words in response.text
