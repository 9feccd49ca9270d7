from dataclasses import replace

from agentfleet.capacity.gates import verdicts
from agentfleet.capacity.tally import Tally
from agentfleet.capacity.timeline import Sample, figures

AT_REST = Sample(0, 0.0, 0, 0, 0, 0.0, 2.0, 2, 2, 2, None, 0)


def judged(samples, tally=None, pending=()):
    return figures(samples, tally or Tally(), pending, least=2, price=1.0)


def seconds(count, **changes):
    return [replace(AT_REST, at=float(at), **changes) for at in range(count)]


def test_steps_that_still_wait_count_with_their_age():
    tally = Tally(arrived=20, done=10, waits=[0.0] * 10)
    found = judged(seconds(10), tally, pending=[40.0] * 10)
    assert found.p50_ready_age_s == 40.0
    assert not verdicts(found)["p95_ready_age"]


def test_only_pods_beyond_the_warm_minimum_and_the_last_part_of_a_pod_are_above_the_cap():
    assert judged(seconds(100, serving=2, cap=0.5)).max_seconds_above_provider_cap == 0.0
    assert judged(seconds(100, serving=4, cap=3.2)).max_seconds_above_provider_cap == 0.0
    above = judged([*seconds(100, serving=5, cap=3.2)])
    assert above.max_seconds_above_provider_cap == 99.0
    assert not verdicts(above)["provider_cap"]


def test_turns_are_counted_within_ten_minutes():
    targets = [2, 4, 3, 5, 4]  # three turns
    near = [replace(AT_REST, at=60.0 * place, target=target) for place, target in enumerate(targets)]
    far = [replace(sample, at=sample.at * 10) for sample in near]
    assert judged(near).direction_changes_per_10min == 3
    assert not verdicts(judged(near))["direction_changes"]
    assert judged(far).direction_changes_per_10min == 1


def test_an_interrupted_step_counts_against_all_that_began():
    tally = Tally(arrived=100, starts=102, done=100, interrupted=2)
    found = judged(seconds(1), tally)
    assert found.interrupted_fraction == 2 / 102
    assert not verdicts(found)["interrupted"]


def test_pods_cost_while_they_exist():
    found = judged(seconds(3_600, paid=3))
    assert (found.pod_hours, found.cost, found.cost_per_hour) == (3.0, 3.0, 3.0)
