"""The headers of a run that people poll: its ETag, and when it is worth asking again."""

from typing import Final

from starlette.requests import Request

from agentfleet.domain.states import RUN_FINAL, RunState
from agentfleet.store.reads import Record

PRIVATE: Final = "no-cache, private"
"""Keep it, but ask every time: the answer to that is usually a 304 without a body."""
SLOW: Final = {RunState.WAITING: 5, RunState.PAUSED: 30, RunState.NEEDS_REVIEW: 60}
"""Seconds; somebody else decides when these go on."""
BY_AGE: Final = ((10, 1), (60, 2), (600, 5))
"""A young run ends soon or takes long: below ``age`` seconds ask again in ``n``."""
AT_MOST: Final = 15


def retry_after(state: str, age: float) -> int | None:
    """Seconds after which asking again is worth it; ``None`` when the run has ended."""
    if state in RUN_FINAL:
        return None
    by_age = next((seconds for limit, seconds in BY_AGE if age < limit), AT_MOST)
    return max(by_age, SLOW.get(RunState(state), 0))


def etag(row: Record) -> str:
    """The run's version. While it has not ended it is a weak one (RFC 9110, section 8.8.1): ``waiting`` is as of the
    answer, so the bytes of two answers may differ when nothing has happened to the run.
    """
    return f'"{row.version}"' if row.state in RUN_FINAL else f'W/"{row.version}"'


def run_headers(row: Record) -> dict[str, str]:
    """``ETag``, ``Cache-Control`` and, while it has not ended, ``Retry-After``."""
    headers = {"ETag": etag(row), "Cache-Control": PRIVATE}
    seconds = retry_after(row.state, row.age)
    return headers if seconds is None else {**headers, "Retry-After": str(seconds)}


def is_known(request: Request, row: Record) -> bool:
    """Whether the client has this version already: RFC 9110, section 13.1.2, weak comparison against a list."""
    header = request.headers.get("if-none-match")
    if header is None:
        return False
    given = {one.strip().removeprefix("W/") for one in header.split(",")}
    return "*" in given or etag(row).removeprefix("W/") in given
