"""Which models share a bucket."""

import pytest

from agentfleet.provider.models import group_of, max_output
from agentfleet.simulator import models as simulated


@pytest.mark.parametrize("card", simulated.CATALOGUE.values(), ids=lambda card: card.id)
def test_the_simulator_groups_models_as_we_do(card):
    assert group_of(card.id) == card.group
    assert max_output(card.id) == card.max_tokens


def test_a_release_date_changes_no_group():
    assert group_of("claude-haiku-4-5-20251001") == group_of("claude-haiku-4-5@20251001") == "haiku-4.5"
    assert group_of("claude-opus-4-20250514") == "opus-4.x"


def test_a_new_version_joins_a_group_that_is_shared_by_versions():
    assert group_of("claude-opus-4-9") == "opus-4.x"
    assert group_of("claude-fable-5-7") == "fable-5.x"


@pytest.mark.parametrize("model", ["claude-opus-5-7", "claude-opus-45", "claude-mythos-5-2", "something-else"])
def test_an_unknown_model_is_its_own_group(model):
    assert group_of(model) == model
    assert group_of(f"{model}-20270101") == model
    assert max_output(model) is None
