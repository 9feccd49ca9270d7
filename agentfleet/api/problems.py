"""Every problem that the API can answer with, once (RFC 9457). Its code, and the ``type`` made of it, never change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

TYPE_BASE = "https://agentfleet.dev/problems/"


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of the table: what it is called, its HTTP status, a title, and what the client should do."""

    code: str
    status: int
    title: str
    remedy: str

    @property
    def type(self) -> str:
        """The URI that names it."""
        return TYPE_BASE + self.code


PROBLEMS: dict[str, Kind] = {}
"""The table, by code."""


def _row(code: str, status: int, title: str, remedy: str) -> Kind:
    PROBLEMS[code] = kind = Kind(code, status, title, remedy)
    return kind


BAD_REQUEST = _row("bad_request", 400, "The request could not be read", "Mend the request as `detail` says.")
INVALID_HEADER = _row("invalid_header", 400, "A header is not valid", "Mend the header that `errors` names.")
UNAUTHENTICATED = _row(
    "unauthenticated", 401, "No valid API key", "Send `Authorization: Bearer af_...` with a key that is not revoked."
)
NOT_FOUND = _row(
    "not_found",
    404,
    "There is no such thing here",
    "Check the path and the id. What belongs to another tenant is not found either.",
)
METHOD_NOT_ALLOWED = _row(
    "method_not_allowed", 405, "The path does not know this method", "Use a method that the `Allow` header lists."
)
NOT_READY = _row(
    "not_ready",
    409,
    "The run has not ended yet",
    "Ask again after `Retry-After` seconds, or wait with `Prefer: wait=60` on the run.",
)
RUN_NEEDS_REVIEW = _row(
    "run_needs_review", 409, "The run waits for a human", "Replay or discard its dead letter, or cancel the run."
)
RUN_FAILED = _row("run_failed", 409, "The run failed, so it has no result", "Read `error`; a new run may do better.")
RUN_CANCELLED = _row("run_cancelled", 409, "The run was cancelled, so it has no result", "Submit a new run.")
RUN_EXPIRED = _row(
    "run_expired", 409, "The run's deadline passed, so it has no result", "Submit a new run with a later deadline."
)
RUN_ENDED = _row(
    "run_ended", 409, "The run has already ended, so it stays as it is", "Read the run; a new one may do better."
)
DEAD_LETTER_CLOSED = _row(
    "dead_letter_closed",
    409,
    "The dead letter is no longer open",
    "Read the dead letter: somebody replayed or discarded it, or its run has ended.",
)
PARENT_ENDED = _row(
    "parent_ended", 409, "The parent run has ended, so it gets no more children", "Submit the run without a parent."
)
EDIT_REFUSED = _row(
    "edit_refused",
    409,
    "The step cannot come back with this edit",
    "Read `detail`: what was said stays as it was said. Edit something else, or discard the dead letter.",
)
RUN_GONE = _row(
    "run_gone",
    410,
    "The run ended long ago and was deleted",
    "Read a run before its `expires_at`. Where `archived` is true, those who run the service can still read it.",
)
DETAILS_GONE = _row(
    "details_gone",
    410,
    "The run's steps, messages and events were deleted",
    "Read the run: its input, output, error and usage are still there. Where `archived` is true, those who run the"
    " service can still read the rest.",
)
PRECONDITION_FAILED = _row(
    "precondition_failed",
    412,
    "The run has changed since the version that `If-Match` names",
    "Read the run again, and decide again.",
)
BODY_TOO_LARGE = _row(
    "body_too_large",
    413,
    "The request body is too large",
    "Send less: `GET /v1/meta` tells the limit. Large documents belong in a store that the agent's tools can read.",
)
UNSUPPORTED_MEDIA_TYPE = _row(
    "unsupported_media_type", 415, "The request body is not declared as JSON", "Send `Content-Type: application/json`."
)
INVALID_JSON = _row("invalid_json", 422, "The body is not acceptable JSON", "Mend the place that `errors` points at.")
INVALID_REQUEST = _row("invalid_request", 422, "The request is not valid", "Mend every place that `errors` names.")
IDEMPOTENCY_KEY_REUSED = _row(
    "idempotency_key_reused",
    422,
    "The Idempotency-Key was used for another request",
    "Send a new key, or exactly the same body again.",
)
INTERNAL_ERROR = _row("internal_error", 500, "Something here is broken", "Try again; if it stays, report `request_id`.")
UNAVAILABLE = _row(
    "unavailable",
    503,
    "The service cannot do this now",
    "Try again after `Retry-After` seconds, a POST with the same Idempotency-Key.",
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One place that is wrong: a JSON pointer into the body, or the name of a parameter or header."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None

    def document(self) -> dict[str, str]:
        """As it stands in ``errors``."""
        place = {"pointer": self.pointer, "parameter": self.parameter}
        return {**{key: value for key, value in place.items() if value is not None}, "detail": self.detail}


def pointer(*path: object) -> str:
    """A JSON pointer (RFC 6901) to ``path``, without what an answer could not carry."""
    parts = (str(part).replace("~", "~0").replace("/", "~1").encode(errors="replace").decode()[:200] for part in path)
    return "".join(f"/{part}" for part in parts)[:1_000]


class Problem(Exception):
    """Raised anywhere below the edge to answer with a problem. ``more`` are extra members of its document."""

    def __init__(
        self,
        kind: Kind,
        detail: str | None = None,
        *,
        errors: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail or kind.title)
        self.kind, self.detail, self.errors = kind, detail or kind.remedy, errors
        self.headers, self.more = headers or {}, more or {}


def not_found(thing: str, name: str) -> Problem:
    """404, worded the same whether it never existed or belongs to somebody else."""
    return Problem(NOT_FOUND, f"there is no {thing} {name[:100]!r}")


def invalid(parameter: str, detail: str) -> Problem:
    """422 for one query parameter."""
    return Problem(INVALID_REQUEST, f"{parameter}: {detail}", errors=[Fault(detail, parameter=parameter)])
