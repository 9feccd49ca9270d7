"""`agentfleet dev --autoscale`: more workers for a backlog, fewer when it is done, and no step is interrupted.

It takes two minutes, so it runs at night.
"""

import os
import re

import httpx2
import psycopg
import pytest

from tests.acceptance.stacks import Dev, dev, until

pytestmark = pytest.mark.skipif(os.environ.get("AGENTFLEET_CHAOS") != "nightly", reason="takes minutes: `make nightly`")
MANY, FEW = 150, 4
OUTCOMES = "SELECT DISTINCT outcome FROM attempts WHERE outcome <> 'snooze'"


def size(stack: Dev) -> int:
    """What the autoscaler has done last."""
    changes = re.findall(r"^\d+ -> (\d+) workers: ", stack.said(), re.MULTILINE)
    return int(changes[-1]) if changes else 1


@pytest.mark.timeout(400)
def test_workers_come_with_the_work_and_go_under_less_of_it_without_interrupting_any():
    brisk = '{"default": {"stabilise": 10, "down_every": 5, "up_every": 5}}'
    with (
        dev("--autoscale", "--workers", "1", "--max-workers", "4", scale_pools=brisk) as stack,
        stack.client() as client,
    ):
        httpx2.patch(f"{stack.env['simulator_url']}/sim/config", json={"first_token_ms": 1_500}).raise_for_status()

        def finish(runs: int) -> None:
            accepted = [client.submit("dependency-audit", {"distribution": "click"}).id for _ in range(runs)]
            until(lambda: size(stack) == 4 or runs == FEW, "the backlog has all the workers that it may have")
            assert {client.wait(run).status for run in accepted} == {"succeeded"}

        finish(MANY)
        until(lambda: finish(FEW) or size(stack) < 3, "two workers have gone while others worked")
        with psycopg.connect(stack.env["database_url"]) as connection:
            assert connection.execute(OUTCOMES).fetchall() == [("succeed",)]
