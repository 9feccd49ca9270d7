"""What is wanted of the pools, as settings say it."""

import pytest

from agentfleet.bootstrap.scale import scale_policies
from agentfleet.domain.errors import InvalidInput
from agentfleet.settings import Settings


def test_a_pool_is_as_the_settings_say_unless_its_own_say_otherwise():
    text = '{"batch": {"min_workers": 0, "concurrency": 50, "stabilise": 30, "forecast": false}}'
    policy = scale_policies(Settings(scale_max_workers=20, worker_capacity=100, scale_lead=60, scale_pools=text))
    usual, batch = policy("default"), policy("batch")
    assert (usual.scale.concurrency, usual.scale.min_workers, usual.scale.max_workers) == (100, 1, 20)
    assert (usual.lead, usual.forecast, usual.scale.ramp.stabilise) == (60, True, 300)
    assert (batch.scale.concurrency, batch.scale.min_workers, batch.scale.max_workers) == (50, 0, 20)
    assert (batch.lead, batch.forecast, batch.scale.ramp.stabilise) == (60, False, 30)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "no JSON"),
        ("[]", "an object of objects"),
        ('{"default": 3}', "an object of objects"),
        ('{"default": {"max": 3}}', "'max' is none of"),
        ('{"default": {"max_workers": "3"}}', "a whole number"),
        ('{"default": {"max_workers": true}}', "a whole number"),
        ('{"default": {"headroom": null}}', "a number"),
        ('{"default": {"forecast": 1}}', "true or false"),
        ('{"default": {"min_workers": 30}}', "AGENTFLEET_SCALE_POOLS default: min_workers"),
        ('{"default": {"up_factor": 0.5}}', "AGENTFLEET_SCALE_POOLS default: ramp"),
    ],
)
def test_what_is_wrong_is_named(text, named):
    with pytest.raises(InvalidInput, match=named):
        scale_policies(Settings(scale_pools=text))


def test_a_minimum_above_the_maximum_is_refused_at_the_start():
    with pytest.raises(ValueError, match="AGENTFLEET_SCALE_MIN_WORKERS"):
        Settings(scale_min_workers=11)
