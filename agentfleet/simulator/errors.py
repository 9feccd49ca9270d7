"""Error answers: the exception the pipeline raises and the body the client reads."""

from dataclasses import dataclass, field

from agentfleet.simulator.wire import Json

TYPE_BY_STATUS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


@dataclass(eq=False)  # an exception must stay hashable
class ApiError(Exception):
    """An error answer of the service: status, message, optional `error_code` and response headers."""

    status: int
    message: str
    error_code: str | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def invalid(cls, message: str) -> "ApiError":
        """400 invalid_request_error."""
        return cls(400, message)


def error_body(kind: str, message: str, *, request_id: str | None, error_code: str | None = None) -> Json:
    """`{"type": "error", "error": {...}, "request_id"}`, the same for an HTTP error and for an event in a stream."""
    error: Json = {"type": kind, "message": message}
    if error_code is not None:
        error["details"] = {"error_code": error_code}
    return {"type": "error", "error": error, "request_id": request_id}
