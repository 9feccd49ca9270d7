"""Reading an order and answering it."""

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from agentfleet.simulator.wire import Json, encode

ModelT = TypeVar("ModelT", bound=BaseModel)
DONE = 204


async def read(request: Request, model: type[ModelT]) -> ModelT:
    """The body as a model, or 422."""
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        raise HTTPException(422, str(error)) from None


def number(query: Mapping[str, str], name: str, default: float) -> float:
    """A number of the query string, or 422."""
    try:
        return float(query.get(name, default))
    except ValueError:
        raise HTTPException(422, f"{name}: a number is required") from None


def reply(payload: Json, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(encode(payload), status_code=status, media_type="application/json")
