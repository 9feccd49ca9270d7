"""What the scaler promises, in the model; and that the gates are not blind."""

import pytest

from agentfleet.capacity.gates import verdicts
from tests.capacity.models import POLICY, played


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_load_that_grows_tenfold_at_once_passes_every_gate(seed):
    outcome = played("spike10x", seed)
    assert all(verdicts(outcome.figures).values()), outcome.figures
    assert outcome.figures.most_pods > POLICY.min_workers


def test_more_than_the_provider_answers_is_not_scaled_for_and_never_refused():
    outcome = played("provider-bound", 1, rate=4.0)
    assert all(verdicts(outcome.figures).values()), outcome.figures
    assert outcome.figures.refused_429 == 0
    assert max(sample.waiting for sample in outcome.samples) > 100
    cap = outcome.samples[0].cap
    assert cap is not None
    assert max(sample.serving for sample in outcome.samples) == 3 == -(-cap // 1) > POLICY.min_workers


def test_without_admission_the_provider_refuses():
    assert played("provider-bound", 1, "queue", rate=2.0).figures.refused_429 > 1_000


def test_a_scaler_that_sees_only_the_queue_goes_red():
    red = [verdicts(played("spike10x", seed, "queue").figures) for seed in (1, 2)]
    assert all(not all(verdict.values()) for verdict in red), red


def test_a_scaler_that_sees_only_the_cpu_goes_red():
    assert not verdicts(played("spike10x", 1, "cpu").figures)["p95_ready_age"]


def test_what_was_announced_is_met_by_pods_that_are_there():
    announced, surprise = played("announced10x", 1).figures, played("spike10x", 1).figures
    assert announced.p95_ready_age_s <= surprise.p95_ready_age_s
    assert announced.oldest_ready_s < surprise.oldest_ready_s
