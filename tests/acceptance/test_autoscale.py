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
RUNS = 150
OUTCOMES = "SELECT DISTINCT outcome FROM attempts WHERE outcome <> 'snooze'"


def size(stack: Dev) -> int:
    """What the autoscaler has done last."""
    changes = re.findall(r"^\d+ -> (\d+) workers: ", stack.said(), re.MULTILINE)
    return int(changes[-1]) if changes else 1


def test_workers_come_with_the_work_and_go_after_it_without_interrupting_any():
    with dev("--autoscale", "--workers", "1", "--max-workers", "4") as stack, stack.client() as client:
        httpx2.patch(f"{stack.env['simulator_url']}/sim/config", json={"first_token_ms": 1_500}).raise_for_status()
        runs = [client.submit("dependency-audit", {"distribution": "click"}).id for _ in range(RUNS)]
        until(lambda: size(stack) == 4, "the backlog has all the workers that it may have")
        for run in runs:
            assert client.wait(run).status == "succeeded"
        until(lambda: size(stack) < 4, "the first worker goes")
        with psycopg.connect(stack.env["database_url"]) as connection:
            assert connection.execute(OUTCOMES).fetchall() == [("succeed",)]
