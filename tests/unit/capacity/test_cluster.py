import pytest

from agentfleet.capacity.cluster import Cluster, Hpa, Rule


def hpa(**changes: object) -> Hpa:
    return Hpa(Cluster(**changes), least=1, most=100)


def test_it_grows_by_four_pods_or_by_all_of_them_within_thirty_seconds_whichever_is_more():
    controller = hpa()
    assert controller.sync(50, 0, 2) == 6  # four more
    assert controller.sync(50, 15, 6) == 6  # within the same thirty seconds
    assert controller.sync(50, 31, 6) == 12
    assert controller.sync(50, 62, 12) == 24


def test_it_goes_down_only_to_what_was_wanted_at_no_time_within_five_minutes():
    controller = hpa()
    controller.sync(10, 0, 10)
    assert controller.sync(2, 15, 10) == 10
    assert controller.sync(2, 299, 10) == 10
    assert controller.sync(2, 316, 10) == 9


def test_it_goes_down_by_a_tenth_a_minute_and_by_one_pod_at_least():
    controller = hpa(down_window=0.0)
    assert controller.sync(1, 0, 40) == 36
    assert controller.sync(1, 15, 36) == 36
    assert controller.sync(1, 61, 36) == 32
    assert hpa(down_window=0.0).sync(1, 0, 4) == 3


@pytest.mark.parametrize(("wanted", "pods", "told"), [(10.9, 10, 10), (9.1, 10, 10), (12, 10, 12), (5.0, 5, 5)])
def test_a_change_of_a_tenth_is_none(wanted, pods, told):
    assert hpa().sync(wanted, 0, pods) == told


def test_it_stays_within_its_bounds():
    controller = Hpa(Cluster(down_window=0.0, down=(Rule(60, percent=100),)), least=2, most=5)
    assert controller.sync(50, 0, 4) == 5
    assert controller.sync(0, 61, 5) == 2


def test_a_window_for_growth_waits_for_the_least_that_was_wanted():
    controller = hpa(up_window=60.0)
    assert controller.sync(2, 0, 2) == 2
    assert controller.sync(8, 30, 2) == 2
    assert controller.sync(8, 59, 2) == 2
    assert controller.sync(8, 60, 2) == 6
