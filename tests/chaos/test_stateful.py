"""Any sequence of faults, on real Postgres, under frozen time: ten invariants hold after each, and every run ends.

Messages are lost, doubled, late and in any order; workers and reconcilers stall at any statement, call and message, lose
their connection there, die, drain, wake up; the provider refuses; clients cancel, replay, discard and repeat themselves.

I1 every accepted run ends. I2 each step succeeds once. I3 a call has one effect key. I4 an unsafe effect happens once.
I5 who no longer holds a step writes nothing. I6 an end is for ever. I7 events have no gap, whoever reads them from
where. I8 a model call is repeated only for a fault that hit it, and all that settled are in the cost. I9 a tenant sees
its own rows. I10 no lease is over for long. Those about rows are in ``tests.invariants``, the others in ``ledger``.
"""

import os
from random import SystemRandom

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.chaos.disorder import Disorder
from tests.chaos.figures import nightly
from tests.chaos.world import World

pytestmark = pytest.mark.timeout(3600 if nightly() else 300)

SETTINGS = settings(
    max_examples=600 if nightly() else 25,
    stateful_step_count=80 if nightly() else 40,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)


def test_every_invariant_holds_after_any_sequence_of_faults(database_url: str) -> None:
    """``AGENTFLEET_CHAOS_SEED`` repeats a nightly run, whose seed is another one every time."""
    number = os.environ.get("AGENTFLEET_CHAOS_SEED") or (SystemRandom().getrandbits(32) if nightly() else 3)
    print(f"AGENTFLEET_CHAOS_SEED={number}")
    Disorder.world = World(database_url)
    try:
        run_state_machine_as_test(seed(int(number))(Disorder), settings=SETTINGS)
    finally:
        Disorder.world.close()
