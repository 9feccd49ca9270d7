"""``Reuse``: for how long and for whom an answer may be used again."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, get_args

from agentfleet.domain.errors import InvalidInput

Scope = Literal["tenant", "all"]

LONGEST = timedelta(days=30)
_TAG = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,59}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reuse:
    """The same question gets the answer that it got before. Raises ``InvalidInput`` for what cannot be."""

    ttl: timedelta
    """How long; 30 days at most."""
    scope: Scope = "tenant"
    """``tenant``: only for runs of the tenant that asked first. ``all``: for every tenant. Only you know that the
    answer says nothing about who asked."""
    tags: Sequence[str] = ()
    """What the answer is made of: ``agentfleet cache invalidate --tag catalogue`` makes such answers void."""
    period: timedelta | None = None
    """The answer depends on the time, too, in steps of this since 1970 in UTC: ``timedelta(days=1)`` uses nothing of
    yesterday."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tags", tuple(self.tags))
        if not timedelta(0) < self.ttl <= LONGEST:
            raise InvalidInput("Reuse.ttl", f"must be greater than zero and at most {LONGEST.days} days: {self.ttl}")
        if self.scope not in get_args(Scope):
            raise InvalidInput("Reuse.scope", f"must be 'tenant' or 'all', not {self.scope!r}")
        if self.period is not None and self.period < timedelta(seconds=1):
            raise InvalidInput("Reuse.period", f"must be a second or longer, not {self.period}")
        for tag in self.tags:
            if not _TAG.fullmatch(tag):
                raise InvalidInput("Reuse.tags", f"a tag has 1 to 60 letters, digits, _, . or -, not {tag!r}")

    def to_json(self) -> dict[str, Any]:
        """As a bundle keeps it; durations in seconds."""
        return {
            "ttl": self.ttl.total_seconds(),
            "scope": self.scope,
            "tags": list(self.tags),
            "period": None if self.period is None else self.period.total_seconds(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Reuse":
        """What ``to_json`` wrote."""
        period = values["period"]
        return cls(
            ttl=timedelta(seconds=values["ttl"]),
            scope=values["scope"],
            tags=tuple(values["tags"]),
            period=None if period is None else timedelta(seconds=period),
        )
