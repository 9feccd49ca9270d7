"""`agentfleet capacity`: how much fleet a load needs, and how the scaler behaves under it."""

import click

from agentfleet.cli.capacity.expect import expect


@click.group()
def capacity() -> None:
    """Simulate the autoscaler, plan a fleet, announce an expected event."""


capacity.add_command(expect)
