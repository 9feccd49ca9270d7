from dataclasses import replace
from decimal import Decimal

import pytest

from agentfleet.capacity.measured import measured
from agentfleet.capacity.plan import Demand, Prices, plan, rightsize
from agentfleet.capacity.servers import ONE_CELL
from agentfleet.capacity.tiers import FULLEST, quota

COST = replace(
    measured(), worker_cpu_ms=4.0, postgres_cpu_ms=0.6, commits_per_step=0.5, wal_bytes_per_step=4_000, io_per_step=1.0,
    table_bytes_per_step=2_500, redis_cpu_ms=0.1, steps_per_s=100.0, rss_mb={"0": 100.0, "1000": 160.0},
)  # fmt: skip
PRICES = Prices("model", Decimal(2), Decimal(10), Decimal("0.2"), Decimal("0.05"))


def test_slots_follow_littles_law_and_workers_follow_slots():
    found = plan(Demand(100, step_seconds=8, headroom=0.4), COST, PRICES)
    assert found.slots == 1_120
    assert found.workers == -(-1_120 // found.pod.concurrency)


def test_a_run_of_eleven_steps_calls_the_model_six_times():
    demand = Demand(10, steps_per_run=11)
    assert (demand.steps, demand.calls) == (110, 60)
    assert Demand(10).calls == 10


def test_a_pod_has_the_slots_that_its_cpu_can_serve():
    pod = rightsize(Demand(1, step_seconds=5.0, pod_cpu=0.5), COST)
    assert (pod.concurrency, pod.binding) == (437, "CPU")  # 0.35 cores / 4 ms a step * 5 s
    assert pod.cpu == pytest.approx(0.35, rel=0.01)
    assert pod.memory_mb == 192  # (100 MB + 437 * 60 kB) * 1.5, in steps of 64
    assert rightsize(Demand(1, step_seconds=500.0), COST).concurrency == 2_000


def test_money_is_tokens_by_price_and_what_the_cache_reads_costs_less():
    full = plan(Demand(1, tokens_in=1_000_000, tokens_out=100_000), COST, PRICES)
    assert full.tokens_usd_per_day == pytest.approx((2 + 1) * 86_400)
    cached = plan(Demand(1, tokens_in=1_000_000, tokens_out=100_000, cached=0.5), COST, PRICES)
    assert cached.tokens_usd_per_day == pytest.approx((1 + 0.1 + 1) * 86_400)
    assert cached.quota.needs["input tokens"] == full.quota.needs["input tokens"] / 2


@pytest.mark.parametrize(
    ("needs", "tier", "organizations", "axis"),
    [
        ((100, 1_000_000, 10_000, 100), "Start", 1, "input tokens"),
        ((950, 100_000, 10_000, 100), "Build", 1, "requests"),
        ((100, 100_000, 10_000, 150_000), "Scale", 1, "spend"),
        ((100, 100_000, 9_000_000 * FULLEST, 1_000), "Scale", 5, "output tokens"),
    ],
)
def test_the_lowest_tier_that_is_enough_is_named_and_what_binds(needs, tier, organizations, axis):
    found = quota(needs)
    assert (found.tier, found.organizations, found.axis) == (tier, organizations, axis)


def test_one_cell_ends_where_its_first_limit_does():
    small = plan(Demand(1_000), COST, PRICES).servers
    assert (small.cells, small.vcpu, small.ram_gb, small.commits_per_s) == (1, 2, 16, 500)
    assert small.gb_per_day == pytest.approx(216)
    large = plan(Demand(100_000), replace(COST, redis_cpu_ms=0.01), PRICES).servers
    assert (large.cells, large.limit) == (4, "Postgres vCPU")  # 100 cores of 32
    assert large.vcpu <= ONE_CELL["Postgres vCPU"]
    assert large.pooler
    assert plan(Demand(100_000), COST, PRICES).servers.limit == "Redis cores"  # 10 cores of 0.6


def test_a_plan_says_how_far_it_goes_beyond_what_was_measured():
    assert plan(Demand(1_000), COST, PRICES).times_measured == 10


def test_the_figures_that_ship_are_complete_and_sound():
    cost = measured()
    assert cost.commit
    assert cost.machine
    assert 0 < cost.worker_cpu_ms < 50
    assert 0 < cost.slot_kb < 1_000
    assert 50 < cost.idle_mb < 1_000
