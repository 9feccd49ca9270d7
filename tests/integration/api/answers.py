"""What every answer must be like."""

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
