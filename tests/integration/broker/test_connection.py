"""How soon a worker comes back to a Redis that was away."""

import pytest
from kombu.exceptions import OperationalError

from agentfleet.broker.app import make_app
from agentfleet.settings import Settings


def test_a_lost_connection_is_tried_again_soon_and_then_every_two_seconds():
    app = make_app(Settings(redis_url="redis://127.0.0.1:1/0"))
    waits = []
    with app.connection_for_read() as connection, pytest.raises(OperationalError):
        connection.ensure_connection(lambda _, wait: waits.append(wait), max_retries=3)
    assert waits == pytest.approx([0.2, 0.4, 0.6][: len(waits)])
    assert waits, "it was tried again"


def test_the_pace_is_celerys_to_set_where_it_asks():
    app = make_app(Settings(redis_url="redis://127.0.0.1:1/0"))
    waits = []
    with app.connection_for_read() as connection, pytest.raises(OperationalError):
        connection.ensure_connection(
            lambda _, wait: waits.append(wait), max_retries=2, interval_start=0, interval_step=0
        )
    assert set(waits) == {0}
