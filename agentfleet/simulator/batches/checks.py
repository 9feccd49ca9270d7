"""What a new batch must satisfy, and what each of its requests must, which is found out only later."""

import re
from typing import Any, cast

from agentfleet.simulator.errors import ApiError
from agentfleet.simulator.wire import Json

MAX_REQUESTS = 100_000
MAX_BYTES = 256 * 1024 * 1024
CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def check_batch(body: Json) -> list[tuple[str, Json]]:
    """The requests as (custom id, params); 400 for a wrong shape, too many of them, an id that is odd or used twice.

    What is in the params is looked at only when the model gets to it.
    """
    requests: Any = body.get("requests")
    if not isinstance(requests, list) or not requests:
        raise ApiError.invalid("requests: at least one request is required")
    rows = cast("list[Any]", requests)
    if len(rows) > MAX_REQUESTS:
        raise ApiError.invalid(f"requests: a batch may hold at most {MAX_REQUESTS:,} requests")
    found: dict[str, Json] = {}
    for index, row in enumerate(rows):
        custom_id, params = _parts(index, row)
        if custom_id in found:
            raise ApiError.invalid(f"requests.{index}.custom_id: '{custom_id}' is not unique within the batch")
        found[custom_id] = params
    return list(found.items())


def check_params(params: Json) -> None:
    """400 for what the Messages API allows and a batch does not."""
    if params.get("stream"):
        raise ApiError.invalid("stream: streaming is not supported in a batch")
    if params.get("speed") == "fast":
        raise ApiError.invalid("speed: fast mode is not supported in a batch")
    if params.get("max_tokens") == 0:
        raise ApiError.invalid("max_tokens: Input should be at least 1 in a batch")


def _parts(index: int, row: Any) -> tuple[str, Json]:
    if not isinstance(row, dict):
        raise ApiError.invalid(f"requests.{index}: Input should be an object")
    request = cast("Json", row)
    custom_id, params = request.get("custom_id"), request.get("params")
    if not isinstance(custom_id, str) or not CUSTOM_ID.fullmatch(custom_id):
        raise ApiError.invalid(f"requests.{index}.custom_id: String should match pattern '^{CUSTOM_ID.pattern}$'")
    if not isinstance(params, dict):
        raise ApiError.invalid(f"requests.{index}.params: Field required")
    return custom_id, cast("Json", params)
