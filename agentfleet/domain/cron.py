"""When does a cron pattern come next? Five fields, strictly: minute, hour, day of month, month, day of week.

A field is ``*`` or numbers, ranges ``a-b`` and lists of them, each with a step ``/n``. Sunday is 0 or 7. As in POSIX
crontab(5), a day fits either of its two fields when both are given. A time of day that a clock change leaves out does
not come on that day; one that comes twice counts once.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from agentfleet.domain.errors import InvalidInput

FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7))
_ITEM = re.compile(r"(\*|[0-9]{1,2}(?:-[0-9]{1,2})?)(?:/([0-9]{1,2}))?")
DAYS = 366 * 9
"""A pattern that does not come within nine years never comes: 29 February is the rarest day, and 2100 has none."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A pattern; ``any_day`` and ``any_weekday``: the field is ``*``."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool

    def next(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        """The first time later than ``after``, by the clocks of ``zone``; in UTC. ``None``: it never comes."""
        first = after.astimezone(zone).date()
        for day in (first + timedelta(days=n) for n in range(DAYS)):
            if self._fits(day):
                found = next((at for at in self._times(day, zone) if at > after), None)
                if found is not None:
                    return found
        return None

    def _fits(self, day: date) -> bool:
        monthly, weekly = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        either = monthly or weekly if not (self.any_day or self.any_weekday) else monthly and weekly
        return day.month in self.months and either

    def _times(self, day: date, zone: ZoneInfo) -> Iterator[datetime]:
        for hour in self.hours:
            for minute in self.minutes:
                local = datetime.combine(day, time(hour, minute), zone)
                at = local.astimezone(UTC)
                if at.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
                    yield at


def parse_cron(text: str) -> Cron:
    """Raises ``InvalidInput``, which names the field that is wrong."""
    fields = text.split()
    if len(fields) != len(FIELDS):
        names = ", ".join(name for name, _, _ in FIELDS)
        raise InvalidInput("cron", f"{text[:100]!r} must have five fields: {names}")
    minutes, hours, days, months, weekdays = (
        _numbers(field, *rule) for field, rule in zip(fields, FIELDS, strict=True)
    )
    sunday_first = frozenset(day % 7 for day in weekdays)
    return Cron(
        tuple(sorted(minutes)), tuple(sorted(hours)), days, months, sunday_first, fields[2] == "*", fields[4] == "*"
    )


def _numbers(field: str, name: str, least: int, most: int) -> frozenset[int]:
    found = set[int]()
    for item in field.split(","):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise InvalidInput("cron", f"{name} {field[:50]!r}: expected *, numbers, ranges a-b, or steps such as */5")
        what, step = match[1], int(match[2] or 1)
        first, _, last = what.partition("-")
        if what == "*":
            begin, end = least, most
        else:
            begin = int(first)
            end = int(last) if last else most if match[2] else begin
        if not least <= begin <= end <= most or step < 1:
            raise InvalidInput(
                "cron", f"{name} {field[:50]!r}: numbers from {least} to {most}, ranges upwards, steps from 1"
            )
        found.update(range(begin, end + 1, step))
    return frozenset(found)
