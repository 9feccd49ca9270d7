"""`agentfleet runs cancel`, against a real API."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from click.testing import CliRunner, Result

from agentfleet.cli.main import main

Command = Callable[..., Awaitable[Result]]


@pytest.fixture
def cancel(served, key) -> Command:
    async def invoke(*arguments: str) -> Result:
        asked = ["runs", "cancel", *arguments, "--url", served, "--api-key", key]
        return await asyncio.to_thread(CliRunner().invoke, main, asked)

    return invoke


async def states(client, runs: list[str]) -> list[str]:
    return [(await client.get(f"/v1/runs/{run_id}")).json()["status"] for run_id in runs]


async def test_named_runs_are_cancelled(cancel, submit, client) -> None:
    runs = [(await submit())["id"] for _ in range(3)]
    done = await cancel(*runs[:2])
    assert done.output.splitlines() == [f"{run_id} is cancelled." for run_id in runs[:2]]
    assert await states(client, runs) == ["cancelled", "cancelled", "queued"]


async def test_a_filter_counts_first_and_cancels_when_told(cancel, submit, client) -> None:
    runs = [(await submit())["id"] for _ in range(3)]
    counted = await cancel("--agent", "support")
    assert counted.output == "3 runs would be cancelled. Add --go to do it.\n"
    assert set(await states(client, runs)) == {"queued"}
    done = await cancel("--agent", "support", "--go")
    assert done.output == "3 runs are cancelled; 0 had ended before.\n"
    assert set(await states(client, runs)) == {"cancelled"}
    assert (await cancel("--agent", "support")).output.startswith("0 runs")


async def test_another_tenants_runs_are_out_of_reach(cancel, submit, client, connect, other_key) -> None:
    theirs = await connect(other_key).post("/v1/runs", json={"agent": "support", "input": "x"})
    await cancel("--status", "queued", "--go")
    assert (await connect(other_key).get(f"/v1/runs/{theirs.json()['id']}")).json()["status"] == "queued"


async def test_names_and_filters_do_not_mix(cancel) -> None:
    assert (await cancel()).exit_code == 2
    assert (await cancel("1", "--agent", "support")).exit_code == 2
