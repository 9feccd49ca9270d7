"""Every failpoint can be reached, and what breaks there costs nothing: a sample of the sweep, which plays them all.

The whole sweep is ``make failpoints``.
"""

import random
from pathlib import Path

import pytest

from agentfleet.dev.embedded import Urls
from agentfleet.simulator.serve import background
from tests.acceptance.fleet import Fleet
from tests.chaos.sweep.lanes import run
from tests.chaos.sweep.plan import every_case
from tests.chaos.sweep.stage import World

SEED, SAMPLE, JOBS = 3, 10, 5


def test_every_point_is_on_a_route() -> None:
    assert len(every_case()) > 150


async def test_a_process_that_breaks_anywhere_costs_nothing(
    server_urls: Urls, template: str, tmp_path: Path, many
) -> None:
    cases = every_case()
    chosen = random.Random(SEED).sample(cases, many(SAMPLE, len(cases)))  # a sample
    with background() as simulator:
        world = World(server_urls, template, simulator, tmp_path).tell()
        results = await run(world, chosen, jobs=JOBS, tell=lambda _: None)
    assert {str(result.case): result.failure for result in results if result.failure} == {}
    assert len(results) == len(chosen)


@pytest.mark.parametrize("kind", ["ingress", "steps", "dispatcher", "reconciler"])
@pytest.mark.parametrize(
    ("setting", "value", "problem"),
    [
        ("failpoint", "settle_stepz.after:kill", "there is no failpoint 'settle_stepz'"),
        ("lease", 0.1, "must be at least twice"),
    ],
)
async def test_a_wrong_setting_ends_any_process_with_one_line(
    fleet: Fleet, kind: str, setting: str, value: object, problem: str
) -> None:
    process = fleet.ground.start(f"workers.{kind}", directory=fleet.directory, **{setting: value})
    assert await process.wait() == 1
    [line] = (fleet.directory / f"{process.name}.err").read_text().splitlines()
    assert f"AGENTFLEET_{setting.upper()}" in line
    assert problem in line
