"""Whether a connection may be overheard."""

from collections.abc import Sequence

from agentfleet.cli.checks.finding import Finding, ok, warn

HERE = frozenset({"127.0.0.1", "::1", "localhost", ""})


def plain(check: str, hosts: Sequence[str], do: str) -> Finding:
    """A connection without TLS: nobody listens on this machine, others may."""
    if HERE.issuperset(hosts):
        return ok(check, "none, within this machine")
    return warn(check, "none: passwords and what runs say cross the network in the clear", do)
