"""The model against what queueing theory says about it."""

from math import factorial
from random import Random

import pytest
import simpy

from agentfleet.capacity.arrivals import poisson, steady
from agentfleet.capacity.cluster import Cluster
from agentfleet.capacity.fleet import Fleet
from agentfleet.capacity.work import Mix, Step
from tests.capacity.models import RATE, played


def erlang_c(servers: int, load: float) -> float:
    """The share of arrivals that find all servers busy (M/M/c)."""
    last = load**servers / factorial(servers) * servers / (servers - load)
    return last / (sum(load**k / factorial(k) for k in range(servers)) + last)


@pytest.mark.parametrize(("servers", "load"), [(5, 3.5), (20, 15.0)])
def test_waiting_is_what_erlang_says(servers, load):
    """M/M/c: the mean wait is C(c, a) / (c mu - lambda), here with a mean service time of one second."""
    env, arrivals, lives = simpy.Environment(), Random(100), Random(150)
    fleet = Fleet(env, Cluster(), concurrency=servers, cpu=0.0, provider=None, admits=True, random=Random(9))
    fleet.begin(1)

    def feed():
        for at in poisson(load, steady, 40_000 / load, 1.0, arrivals):
            yield env.timeout(at - env.now)
            fleet.arrive(Step(env.now, lives.expovariate(1.0), calls=False))

    env.process(feed())
    env.run()
    mean = sum(fleet.tally.waits) / len(fleet.tally.waits)
    assert mean == pytest.approx(erlang_c(servers, load) / (servers - load), rel=0.1)


def test_as_many_run_as_arrive_times_their_length():
    """Little's law."""
    outcome = played("steady", 1, rate=20.0)
    late = outcome.samples[120:]
    running = sum(sample.running for sample in late) / len(late)
    assert running == pytest.approx(20.0 * Mix().mean, rel=0.05)


@pytest.mark.parametrize(
    ("name", "scaler"), [("spike10x", "agentfleet"), ("spike10x", "queue"), ("provider-bound", "queue")]
)
def test_every_step_is_somewhere(name, scaler):
    outcome = played(name, 1, scaler, 2.0 if name == "provider-bound" else RATE)
    there = outcome.figures.done + outcome.ready + outcome.running + outcome.waiting
    assert outcome.figures.steps == there > 0


def test_the_same_seed_is_the_same_second_and_another_seed_is_not():
    first, other = played("steady", 1), played("steady", 2)
    assert played.__wrapped__("steady", 1) == first
    assert other.figures != first.figures


@pytest.mark.parametrize("spread", [0.0, 0.8])
def test_steps_last_as_long_as_the_mix_says(spread):
    random, mix = Random(3), Mix(spread=spread)
    drawn = [mix.step(0.0, random) for _ in range(20_000)]
    assert sum(step.seconds for step in drawn) / len(drawn) == pytest.approx(mix.mean, rel=0.03)
    assert sum(step.calls for step in drawn) / len(drawn) == pytest.approx(mix.calls, rel=0.03)
