"""Announced events: once at a time, or by a cron pattern, so many times the usual work comes. Pure."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agentfleet.domain.cron import parse_cron
from agentfleet.domain.errors import InvalidInput

_POOL = re.compile(r"[a-z][a-z0-9_-]{0,39}")
LONGEST = 31 * 86_400.0
"""Seconds."""
MOST = 1_000.0
FIRST, LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)
"""Of ``at``. In another zone the ends of the calendar are out of it, and a row that cannot be read hides all others."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """From ``at``, or whenever ``cron`` says (on the clocks of ``tz``), for ``seconds``: ``factor`` times the usual.

    ``pool`` is the one that is concerned; ``None``: all of them. ``id`` is empty before it is kept. Raises
    ``InvalidInput`` for what cannot be.
    """

    factor: float
    seconds: float
    at: datetime | None = None
    cron: str | None = None
    tz: str = "UTC"
    pool: str | None = None
    note: str | None = None
    id: str = ""

    def __post_init__(self) -> None:
        if (self.at is None) == (self.cron is None):
            raise InvalidInput("at", "either this or cron is needed, and not both")
        if self.at is not None and self.at.tzinfo is None:
            raise InvalidInput("at", f"{self.at.isoformat()} must say its time zone, such as 2026-12-01T09:00Z")
        if self.at is not None and not FIRST <= self.at < LAST:
            raise InvalidInput("at", f"{self.at.isoformat()} must be in the years {FIRST:%Y} to {LAST.year - 1}")
        if not 0 < self.seconds <= LONGEST:
            raise InvalidInput("seconds", f"must be more than 0 and at most {LONGEST:.0f} (31 days)")
        if not 0 < self.factor <= MOST:
            raise InvalidInput("factor", f"must be more than 0 and at most {MOST:.0f}")
        if self.pool is not None and not _POOL.fullmatch(self.pool):
            raise InvalidInput("pool", f"{self.pool[:100]!r} is no name of a pool: small letters, digits, - and _")
        zone = _zone(self.tz)
        if self.cron is not None and parse_cron(self.cron).next(datetime(2000, 1, 1, tzinfo=zone), zone) is None:
            raise InvalidInput("cron", f"{self.cron!r} never comes: there is no such day")

    def begins(self, now: datetime, lead: float = 0.0) -> datetime | None:
        """Its start, if ``now`` is in it or less than ``lead`` seconds before it; else ``None``."""
        start = self.next(now - timedelta(seconds=self.seconds))
        return start if start is not None and start <= now + timedelta(seconds=lead) else None

    def next(self, after: datetime) -> datetime | None:
        """Its first start later than ``after``; ``None`` when there is none."""
        if self.cron is not None:
            return parse_cron(self.cron).next(after, _zone(self.tz))
        return self.at if self.at is not None and self.at > after else None


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput(
            "tz", f"there is no time zone {name[:100]!r}; expected a name such as Europe/Berlin"
        ) from error
