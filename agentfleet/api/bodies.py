"""Reading a request's body as strict JSON."""

from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from agentfleet.api import strict_json
from agentfleet.api.problems import INVALID_REQUEST, UNSUPPORTED_MEDIA_TYPE, Fault, Problem, pointer

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound=BaseModel)
MAX_FAULTS = 20


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object in the body; raises ``Problem`` (413, 415, 422)."""
    declared = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if declared != "application/json":
        raise Problem(UNSUPPORTED_MEDIA_TYPE)
    return strict_json.parse(await request.body())


async def read_model(request: Request, model: type[Model], *, optional: bool = False) -> Model:
    """The body as ``model``; raises ``Problem`` with every fault. ``optional``: an empty body is an empty object."""
    if optional and not await request.body():
        return model()
    body = await read_object(request)
    try:
        return model.model_validate_json(orjson.dumps(body), strict=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        faults = [Fault(one["msg"].removeprefix("Value error, "), pointer=_place(body, one)) for one in found]
        told = "; ".join(f"{fault.pointer or 'the body'}: {fault.detail}" for fault in faults[:3])
        raise Problem(INVALID_REQUEST, told, errors=faults[:MAX_FAULTS]) from None


def _place(body: Any, error: "ErrorDetails") -> str:
    """Where in ``body`` it is: without the names of a union's members, which pydantic puts in between."""
    here, path = body, list[str | int]()
    for part in error["loc"]:
        try:
            here = here[part]
        except (LookupError, TypeError):
            continue
        path.append(part)
    return pointer(*path, *(error["loc"][-1:] if error["type"] == "missing" else ()))
