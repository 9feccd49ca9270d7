"""The provider's published tiers, and which one a load needs.

https://platform.claude.com/docs/en/api/rate-limits as of August 2026, per organization and model group; an organization
of your own may have other limits (`agentfleet accounts` shows those that hold).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

AXES = ("requests", "input tokens", "output tokens", "spend")
FULLEST = 0.9
"""Of a limit that may be planned with: what calls take varies."""


@dataclass(frozen=True, slots=True)
class Tier:
    """Requests, input and output tokens a minute, and US dollars a month, of one organization."""

    name: str
    limits: tuple[float, float, float, float]


TIERS = (
    Tier("Start", (1_000, 2_000_000, 400_000, 500)),
    Tier("Build", (5_000, 5_000_000, 1_000_000, 1_000)),
    Tier("Scale", (10_000, 10_000_000, 2_000_000, 200_000)),
)


@dataclass(frozen=True, slots=True)
class Quota:
    """``organizations`` of ``tier`` are needed; ``axis`` binds. ``needs`` by axis: a minute, spend a month."""

    tier: str
    organizations: int
    axis: str
    needs: Mapping[str, float]


def quota(needs: tuple[float, float, float, float]) -> Quota:
    """The lowest tier that is enough for ``needs`` (in the order of ``AXES``), or so many organizations of the top."""
    for tier in TIERS:
        shares = {axis: need / (limit * FULLEST) for axis, need, limit in zip(AXES, needs, tier.limits, strict=True)}
        axis = max(shares, key=shares.__getitem__)
        if shares[axis] <= 1 or tier is TIERS[-1]:
            return Quota(tier.name, max(ceil(shares[axis]), 1), axis, dict(zip(AXES, needs, strict=True)))
    raise AssertionError("the last tier answers")
