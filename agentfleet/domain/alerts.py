"""What a human is told: a closed list. An alert is open from the first time that it is raised until it is resolved."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class AlertKind(StrEnum):
    """What is wrong; the subject of an alert says where. One alert per kind and subject is open at a time."""

    ACCOUNT_PARKED = "account_parked"
    """An account of the provider refuses everything (spend cap, credentials, permission): its runs wait. Subject: the
    account."""
    PROVIDER_OVERLOADED = "provider_overloaded"
    """The provider is overloaded and is only probed. Subject: account and model group."""
    BUDGET_80 = "budget_80"
    """Four fifths of a budget are spent. Subject: the budget."""
    DEAD_LETTERS = "dead_letters"
    """Steps were given up on and wait for a decision. Subject: the tenant."""
    CONNECTIONS_80 = "connections_80"
    """Four fifths of a process's connections to the provider are in use. Subject: the worker."""
    ARCHIVE_FAILING = "archive_failing"
    """Runs that are due cannot be archived, so they are not deleted. Subject: the archive."""


class AlertEvent(StrEnum):
    """What is told of an alert."""

    OPENED = "alert.opened"
    RESOLVED = "alert.resolved"


@dataclass(frozen=True, slots=True)
class Alert:
    """``message`` is a sentence for humans, ``data`` JSON text for machines. ``seen``: how often it was raised."""

    id: str
    kind: str
    subject: str
    message: str
    data: str
    seen: int
    created_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None
    tries: int
    """Times that somebody set out to tell of it, this one included."""
    told: bool
    """Whether nothing of it is left to be told."""

    @property
    def event(self) -> AlertEvent:
        """What there is to be told. One that was resolved before anybody was told of it is told as resolved."""
        return AlertEvent.OPENED if self.resolved_at is None else AlertEvent.RESOLVED
