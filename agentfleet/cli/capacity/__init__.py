"""`agentfleet capacity`: how much fleet a load needs, and how the scaler behaves under it."""

import click

from agentfleet.cli.capacity.expect import expect
from agentfleet.cli.capacity.plan import plan
from agentfleet.cli.capacity.record import record
from agentfleet.cli.capacity.simulate import simulate


@click.group()
def capacity() -> None:
    """Simulate the autoscaler, plan a fleet, announce an expected event."""


for command in (simulate, plan, record, expect):
    capacity.add_command(command)
