"""The published description: current, complete, and what the API really does."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agentfleet.api import schemas
from agentfleet.api.app import ROUTES
from agentfleet.api.openapi import document
from agentfleet.api.problems import PROBLEMS, TYPE_BASE

SNAPSHOT = Path(__file__).parents[3] / "docs" / "openapi.json"


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return document()


def operations(described: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation) for path, item in described["paths"].items() for method, operation in item.items()
    ]


def test_the_published_document_is_current(described) -> None:
    assert json.loads(SNAPSHOT.read_text(encoding="utf-8")) == described, "docs/openapi.json is stale: run `make docs`"


def test_it_is_openapi_3_1_and_every_operation_has_a_name_and_words(described) -> None:
    assert described["openapi"].startswith("3.1")
    found = operations(described)
    assert len({operation["operationId"] for _, _, operation in found}) == len(found) == len(ROUTES)
    for _, _, operation in found:
        assert operation["tags"]
        assert operation["summary"]
        assert operation["description"]


def test_every_route_says_who_may_call_it_and_what_may_go_wrong(described) -> None:
    for path, _, operation in operations(described):
        scheme = {"/v1": "key", "/internal": "internal"}.get(path[: path.find("/", 1)])
        assert operation["security"] == ([] if scheme is None else [{scheme: []}])
        if scheme is not None:
            assert {"401", "500", "503"} <= set(operation["responses"])
        assert ("404" in operation["responses"]) == ("{" in path or path == "/internal/autoscale")
    assert described["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


def test_every_reference_leads_somewhere(described) -> None:
    text = json.dumps(described)
    for part in text.split('"#/components/schemas/')[1:]:
        assert part.split('"')[0] in described["components"]["schemas"]


def test_every_problem_is_described_somewhere(described) -> None:
    text = json.dumps(described)
    by_framework = {"method_not_allowed", "bad_request"}
    assert [code for code in PROBLEMS if code not in by_framework and f"`{code}`" not in text] == []
    for code, kind in PROBLEMS.items():
        assert (kind.code, kind.type) == (code, TYPE_BASE + code)
        assert 400 <= kind.status <= 599
        assert kind.title
        assert kind.remedy.endswith(".")


async def test_it_is_served_as_published(connect, described) -> None:
    client = connect(None)
    assert (await client.get("/openapi.json")).json() == described
    assert (await client.get("/docs")).status_code == 200


BODIES: list[dict[str, Any]] = [
    {"agent": "support", "input": "x"},
    {"agent": "support", "input": {}, "priority": 100, "metadata": {"k": "v" * 512}, "deadline": 0.5},
    {"agent": "support", "input": "x", "deadline": None},
    {"input": "x"},
    {"agent": "support"},
    {"agent": "support", "input": ""},
    {"agent": "support", "input": " \n\t"},
    {"agent": "support", "input": " x "},
    {"agent": "support", "input": []},
    {"agent": "support", "input": "x", "priority": 101},
    {"agent": "support", "input": "x", "priority": "high"},
    {"agent": "support", "input": "x", "metadata": {"": "v"}},
    {"agent": "support", "input": "x", "metadata": {"k" * 65: "v"}},
    {"agent": "support", "input": "x", "metadata": {"k": "v" * 513}},
    {"agent": "support", "input": "x", "metadata": {str(n): "v" for n in range(33)}},
    {"agent": "support", "input": "x", "deadline": 0},
    {"agent": "support", "input": "x", "deadline": 1e9},
    {"agent": "support", "input": "x", "more": 1},
]


async def test_a_body_is_accepted_exactly_when_its_schema_accepts_it(client) -> None:
    for body in BODIES:
        try:
            schemas.RunRequest.model_validate_json(json.dumps(body), strict=True)
            expected = 202
        except ValidationError:
            expected = 422
        assert (await client.post("/v1/runs", json=body)).status_code == expected, body
