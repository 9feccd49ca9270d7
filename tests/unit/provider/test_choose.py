"""Which account a run goes to, stays with, and leaves."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from agentfleet.domain.errors import ProviderModelUnknown
from agentfleet.provider.account import Account
from agentfleet.provider.choose import choose

RUNS = [f"run-{number}" for number in range(6_000)]
MODEL = "claude-sonnet-5-5"


def account(name: str, weight: float = 1, **fields: Any) -> Account:
    return Account(name=name, api_key=SecretStr("k"), weight=weight, **fields)


POOL = (account("a", 1), account("b", 2), account("c", 3))


def parked(*names: str) -> Callable[[Account], bool]:
    return lambda account: account.name in names


def pick(run_id: str, pool=POOL, *, pinned: str | None = None, bound: bool = False, without: tuple[str, ...] = ()):
    return choose(pool, run_id, MODEL, pinned=pinned, bound=bound, parked=parked(*without)).name


def test_new_runs_are_spread_by_weight():
    counts = Counter(pick(run_id) for run_id in RUNS)
    for name, share in {"a": 1 / 6, "b": 2 / 6, "c": 3 / 6}.items():
        assert counts[name] / len(RUNS) == pytest.approx(share, abs=0.03)


def test_the_order_of_the_list_decides_nothing():
    assert [pick(run_id) for run_id in RUNS[:500]] == [pick(run_id, POOL[::-1]) for run_id in RUNS[:500]]


def test_a_parked_account_moves_its_own_new_runs_only_and_spreads_them_by_weight():
    moved = Counter[str]()
    for run_id in RUNS:
        before, after = pick(run_id), pick(run_id, without=("c",))
        assert after != "c"
        assert before in (after, "c")
        moved[after] += before == "c"
    assert moved["b"] / moved.total() == pytest.approx(2 / 3, abs=0.04)


def test_a_new_account_takes_runs_from_the_others_and_moves_none_between_them():
    for run_id in RUNS[:1_000]:
        before, after = pick(run_id), pick(run_id, (*POOL, account("d", 2)))
        assert after in (before, "d")


def test_a_run_stays_where_it_was_answered():
    assert {pick(run_id, pinned="a") for run_id in RUNS[:200]} == {"a"}


def test_a_run_leaves_a_parked_account_unless_its_conversation_is_bound_to_it():
    assert {pick(run_id, pinned="a", without=("a",)) for run_id in RUNS[:200]} == {"b", "c"}
    assert {pick(run_id, pinned="a", bound=True, without=("a",)) for run_id in RUNS[:200]} == {"a"}


def test_where_everybody_is_parked_a_run_waits_for_its_own():
    assert {pick(run_id, pinned="a", without=("a", "b", "c")) for run_id in RUNS[:200]} == {"a"}
    assert [pick(run_id, without=("a", "b", "c")) for run_id in RUNS[:200]] == [pick(run_id) for run_id in RUNS[:200]]


def test_a_run_whose_account_is_gone_goes_on_at_another():
    assert pick("run", pinned="gone", bound=True) == pick("run")


def test_only_an_account_that_serves_the_model_is_asked():
    pool = (account("a", 1_000, models={"claude-opus-5": "x"}), account("b"))
    assert {pick(run_id, pool) for run_id in RUNS[:200]} == {"b"}
    assert pick("run", pool, pinned="a", bound=True) == "b"


def test_a_model_that_nobody_serves_is_refused_by_name():
    with pytest.raises(ProviderModelUnknown, match=MODEL):
        pick("run", (account("a", models={"claude-opus-5": "x"}),))


@given(
    st.text(),
    st.lists(st.floats(1e-3, 1_000), min_size=1, max_size=6),
    st.sets(st.integers(0, 5)),
    st.none() | st.integers(0, 5),
    st.booleans(),
)
def test_no_parked_account_is_asked_while_another_may_be(
    run_id: str, weights: list[float], down: set[int], pin: int | None, bound: bool
):
    pool = [account(f"a{number}", weight) for number, weight in enumerate(weights)]
    names, out = {each.name for each in pool}, {f"a{number}" for number in down}
    pinned = None if pin is None else f"a{pin}"
    chosen = choose(pool, run_id, MODEL, pinned=pinned, bound=bound, parked=parked(*out)).name
    held = bound and pinned in names
    assert chosen == pinned if held else chosen not in out or names <= out
    if pinned in names - out:
        assert chosen == pinned
