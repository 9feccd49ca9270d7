"""How far a server's clock is from ours. Leases run on the database's clock alone, so a skew loses nothing."""

from agentfleet.cli.checks.finding import Finding, ok, warn

TOLERATED = 2.0
"""Seconds; more, and logs of two machines no longer tell which came first."""


def skew(server: str, theirs: float, before: float, after: float) -> Finding:
    """Compare ``theirs`` with ours before and after the question, all in seconds since 1970."""
    apart = theirs - (before + after) / 2
    name = f"clock of {server}"
    if abs(apart) <= TOLERATED + (after - before) / 2:
        return ok(name, f"{abs(apart):.2f} s from this machine's")
    direction = "ahead of" if apart > 0 else "behind"
    return warn(
        name, f"{abs(apart):.1f} s {direction} this machine's", "run an NTP client on both: times in logs do not match"
    )
