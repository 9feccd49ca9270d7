"""What every answer has, whoever asks for whatever, and however it goes wrong."""

from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from agentfleet.api import translate
from agentfleet.api.app import ROUTES
from agentfleet.engine.submit import Submitter
from tests.integration.api.answers import problem

SOME_ID = "01a1fdf7-1186-7431-9874-d879db05f52f"


def path_of(route: Any) -> str:
    """A path that the route answers, naming something that is not there."""
    return route.path.replace("{run_id}", SOME_ID).replace("{dead_letter_id}", SOME_ID)


OPERATIONS = [(method, route) for route in ROUTES for method in sorted(route.methods or ())]
PROTECTED = [(method, route) for method, route in OPERATIONS if route.path.startswith("/v1")]


async def test_every_answer_has_an_id_and_is_not_sniffed(client) -> None:
    for method, route in OPERATIONS:
        response = await client.request(method, path_of(route), headers={"X-Request-Id": "mine.1:2_3-4"})
        assert response.status_code < 500, route.path
        assert response.headers["x-request-id"] == "mine.1:2_3-4"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"]
        assert "access-control-allow-origin" not in response.headers


async def test_a_request_id_that_is_not_safe_is_replaced(client) -> None:
    for given in ("", "a b", "x" * 129, "a\tb", "\u00fc".encode("latin-1")):
        response = await client.get("/healthz", headers={"X-Request-Id": given})
        assert len(response.headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer af_" + "x" * 43, "Basic YTpi", "Bearer {key}x", "Token {key}", "Bearer {key} x"],
)
async def test_nothing_is_told_without_a_key(connect, key, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization.format(key=key)}
    for method, route in PROTECTED:
        response = await connect(None).request(method, path_of(route), headers=headers)
        assert problem(response, 401) == "unauthenticated", route.path
        assert response.headers["www-authenticate"].startswith('Bearer realm="agentfleet"')


async def test_two_keys_are_none(connect, key) -> None:
    headers = [("Authorization", f"Bearer {key}")] * 2
    assert problem(await connect(None).get("/v1/runs", headers=headers), 401) == "unauthenticated"


async def test_the_scheme_may_be_spelled_in_any_case(connect, key) -> None:
    assert (await connect(None).get("/v1/meta", headers={"Authorization": f"bearer {key}"})).status_code == 200


async def test_an_unknown_path_is_a_problem(connect) -> None:
    for path in ("/", "/v2/runs", "/v1x", "/metrics/", "/favicon.ico"):
        assert problem(await connect(None).get(path), 404) == "not_found"


async def test_an_unknown_path_behind_the_key_tells_nothing_without_one(connect, client) -> None:
    for path in ("/v1", "/v1/", "/v1/nothing", "/v1/runs/"):
        assert problem(await connect(None).get(path), 401) == "unauthenticated"
        assert problem(await client.get(path), 404) == "not_found"


async def test_a_wrong_method_lists_the_right_ones(client) -> None:
    for method, path, allowed in (
        ("DELETE", "/v1/runs", "GET, POST"),
        ("PUT", f"/v1/runs/{SOME_ID}", "GET, PATCH"),
        ("GET", f"/v1/runs/{SOME_ID}/cancel", "POST"),
        ("PATCH", "/v1/dead-letters/replay", "GET, POST"),
        ("POST", "/healthz", "GET"),
    ):
        response = await client.request(method, path)
        assert problem(response, 405) == "method_not_allowed"
        assert response.headers["allow"] == allowed


async def test_what_is_no_id_is_not_found(client) -> None:
    for name in ("1", "x" * 5_000, "%00", "..%2f..", "{run_id}", "%F0%9F%98%80", "%FF"):
        for path in (f"/v1/runs/{name}", f"/v1/runs/{name}/events", f"/v1/dead-letters/{name}"):
            assert problem(await client.get(path), 404) == "not_found"


async def test_what_nobody_expected_is_hidden_and_logged(client, monkeypatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("secret af_" + "x" * 43)

    monkeypatch.setattr(Submitter, "__call__", broken)
    monkeypatch.setattr(translate, "log", structlog.get_logger())  # one that no other test has configured
    with capture_logs() as lines:
        response = await client.post("/v1/runs", json={"agent": "support", "input": "x"})
    assert problem(response, 500) == "internal_error"
    assert "secret" not in response.text
    [line] = [line for line in lines if line["event"] == "request_failed"]
    assert (line["log_level"], line["error_type"]) == ("error", "RuntimeError")


async def test_requests_are_measured_by_route_never_by_path(client, submit) -> None:
    run = await submit()
    await client.get(run["urls"]["self"])
    await client.get("/no/such/path")
    text = (await client.get("/metrics")).text
    assert 'route="/v1/runs/{run_id}",status="200"' in text
    assert 'route="unmatched",status="404"' in text
    assert run["id"] not in text
    assert "acme" not in text
