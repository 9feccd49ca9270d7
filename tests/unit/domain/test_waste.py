"""The arithmetic of the waste ledger."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from agentfleet.domain.waste import ESTIMATED, Calls, Cause, Line, Loss, Lost, Saving, Spent, lines, total
from agentfleet.provider.prices import cost

DAY = date(2026, 11, 21)
BIG, SMALL = "claude-sonnet-5-5", "claude-haiku-4-5"
keys, models = st.sampled_from(["a", "b", "c"]), st.sampled_from([BIG, SMALL, "unknown"])
tokens, dollars = st.integers(0, 10**9), st.decimals(0, 1_000, places=8)


@st.composite
def calls(draw):
    write = draw(tokens)
    return Calls(draw(models), DAY, draw(st.integers(1, 1_000)), draw(dollars), draw(tokens), draw(tokens), draw(tokens),
                 write, draw(st.integers(0, write)))  # fmt: skip


@st.composite
def losses(draw):
    found = draw(calls())
    missed = draw(st.integers(0, found.input)), draw(st.integers(0, found.write))
    more = draw(st.integers(0, 5))
    return Loss(
        draw(keys), draw(st.sampled_from(Cause)), found, found.count + more, draw(tokens), *missed, draw(tokens)
    )


spendings = st.builds(Spent, keys, models, calls(), dollars, dollars)


@given(st.lists(spendings, max_size=8), st.lists(losses(), max_size=8))
def test_lines_keep_every_dollar_and_every_token(spent, lost):
    every = lines(spent, lost, cost)
    all_of_it = total(every)
    assert len({line.key for line in every}) == len(every)
    assert all_of_it.cost_usd == sum(one.calls.cost_usd for one in spent)
    assert all_of_it.calls == sum(one.calls.count for one in spent)
    assert sum(one.tokens for one in all_of_it.wasted.values()) == sum(one.tokens for one in lost)
    assert sum(one.calls for one in all_of_it.wasted.values()) == sum(one.count for one in lost)
    sizes = [line.cost_usd + line.estimated_usd for line in every]
    assert sizes == sorted(sizes, reverse=True)


@given(losses())
def test_what_a_call_on_record_lost_is_no_more_than_it_cost(lost):
    [line] = lines([], [lost], cost)
    assert all(found.cost_usd >= 0 for found in line.wasted.values())
    if lost.cause not in ESTIMATED:
        assert line.wasted_usd <= lost.calls.cost_usd


@given(st.lists(losses(), max_size=8), dollars)
def test_what_is_estimated_is_part_of_what_was_spent(lost, recorded):
    line = total([Line("x", cost_usd=recorded), *lines([], lost, cost)])
    known = sum(one.cost_usd for cause, one in line.wasted.items() if cause not in ESTIMATED)
    assert line.wasted_usd == known + line.estimated_usd


def used(model=BIG, count=1, usd=None, **more):
    found = Calls(
        model, DAY, count, Decimal(0), **{**dict.fromkeys(("input", "output", "read", "write", "hour"), 0), **more}
    )
    names = {"input": "input_tokens", "output": "output_tokens", "read": "cache_read_input_tokens",
             "write": "cache_creation_input_tokens"}  # fmt: skip
    listed = cost({names[name]: getattr(found, name) // count for name in names}, model, DAY) * count
    return replace(found, cost_usd=listed if usd is None else Decimal(usd))


def wasted(cause, found, count=1, **more):
    [line] = lines([], [Loss("a", cause, found, count, 1, **more)], cost)
    return line.wasted[cause].cost_usd


def test_a_guess_is_priced_by_the_usual_prompt():
    nothing = Calls(BIG, DAY, 0, Decimal(0), 0, 0, 0, 0, 0)
    assert wasted(Cause.CRASHED, nothing, 4, guessed=4_000) == 4 * cost({"input_tokens": 1_000}, BIG, DAY)


def test_a_crash_costs_the_prompt_of_the_call_that_was_made_instead_and_no_answer():
    assert wasted(Cause.CRASHED, used(input=1_000, output=500)) == cost({"input_tokens": 1_000}, BIG, DAY)


def test_a_miss_costs_what_reading_would_have_saved():
    missed = wasted(Cause.CACHE_MISS, used(input=300, output=10, read=1_000, write=4_000), missed_write=4_000)
    assert missed == 4_000 * (Decimal("2.50") - Decimal("0.10")) / 1_000_000


def test_a_discount_of_the_call_is_one_of_its_loss():
    whole = used(input=5_000, output=10)
    half = replace(whole, cost_usd=whole.cost_usd / 2)
    lost = [wasted(Cause.CACHE_MISS, one, missed_input=5_000) for one in (whole, half)]
    assert lost[0] == 2 * lost[1] > 0


def test_a_batch_that_came_too_late_costs_half_of_the_list():
    assert (
        wasted(Cause.SPILLED_BATCH, used(input=1_000, output=100, usd=0)) == used(input=1_000, output=100).cost_usd / 2
    )


def saved(found, main=BIG):
    [line] = lines([Spent("a", main, found, Decimal(0), Decimal(0))], [], cost)
    return line.saved


def test_the_cache_saved_what_fresh_tokens_would_have_cost():
    assert saved(used(input=0, output=10, read=10_000)) == {
        Saving.PROMPT_CACHE: 10_000 * (Decimal(2) - Decimal("0.10")) / 1_000_000
    }


def test_a_cache_that_nobody_read_cost_what_writing_costs_extra():
    assert saved(used(output=10, write=10_000)) == {
        Saving.PROMPT_CACHE: 10_000 * (Decimal(2) - Decimal("2.50")) / 1_000_000
    }


def test_routing_is_told_at_list_prices():
    assert saved(used(SMALL, input=1_000), BIG) == {
        Saving.ROUTING: cost({"input_tokens": 1_000}, BIG, DAY) - cost({"input_tokens": 1_000}, SMALL, DAY)
    }


def test_a_dearer_model_than_the_agents_own_is_told_as_a_loss():
    assert saved(used(BIG, input=1_000), SMALL)[Saving.ROUTING] < 0


def test_a_model_without_a_price_saves_nothing_that_could_be_told():
    assert saved(used(SMALL, input=1_000), "unknown") == {}


def test_no_usage_is_no_line():
    assert lines([], [], cost) == []
    assert total([]) == Line("total")
    assert Lost() + Lost(1, 2, Decimal(3)) == Lost(1, 2, Decimal(3))
