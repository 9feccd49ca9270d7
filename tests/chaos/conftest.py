"""The fleet of the acceptance tests; how much of everything; where the figures go."""

import pytest

from tests.acceptance.conftest import fleet, ground
from tests.chaos.figures import Figures, nightly

__all__ = ["figures", "fleet", "ground", "many"]


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Where this test's measurements go; see there."""
    return Figures(request.node.nodeid)


@pytest.fixture
def many():
    """``many(few, all)``: the second in a nightly run, which proves the gate figure, else the first."""
    return lambda few, full: full if nightly() else few
