"""What every answer must be like."""

from typing import Any

import httpx2

from agentfleet.api import schemas
from agentfleet.api.problems import PROBLEMS


def problem(response: httpx2.Response, status: int) -> str:
    """The code of a well-formed problem."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found = schemas.Problem.model_validate(response.json())
    kind = PROBLEMS[found.code]
    assert (found.type, found.title, found.status) == (kind.type, kind.title, status)
    assert found.request_id == response.headers["x-request-id"]
    return found.code


def pointers(response: httpx2.Response) -> set[str]:
    """Where a problem says that the body is wrong."""
    return {error["pointer"] for error in response.json()["errors"]}


def events(text: str) -> list[dict[str, Any]]:
    """The frames of an event stream: their fields, comments left out."""
    frames: list[dict[str, Any]] = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            frames.append(fields)
    return frames
