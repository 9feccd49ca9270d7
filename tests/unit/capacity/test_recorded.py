import pytest

from agentfleet.capacity.recorded import read
from agentfleet.domain.errors import InvalidInput


@pytest.mark.parametrize(
    "lines",
    [
        ["at,steps", "2026-11-21T20:00:00Z,2", "2026-11-21T20:00:10Z,1", "2026-11-21T20:00:20Z,0"],
        ["100,2", "110,1", "120,0"],
        [
            '{"at": "2026-11-21T20:00:00+00:00", "steps": 2}',
            '{"at": "2026-11-21T20:00:10Z", "steps": 1}',
            '{"at": "2026-11-21T20:00:20Z", "steps": 0}',
        ],
    ],
)
def test_counts_are_spread_evenly_until_the_next_row(lines):
    assert read(lines, "a.csv") == [0.0, 5.0, 10.0]


def test_rows_without_a_count_are_one_step_each():
    assert read(["7.5", "8", "", "9.25"], "a.csv") == [0.0, 0.5, 1.75]


def test_the_last_rows_steps_are_spread_as_long_as_the_row_before_lasted():
    assert read(["0,1", "10,2"], "a.csv") == [0.0, 10.0, 15.0]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "a.csv: has no arrivals"),
        (["at,steps"], "a.csv: has no arrivals"),
        (["at,steps", "noon,3"], "a.csv, line 2: at: 'noon' is neither ISO 8601 nor a number of seconds"),
        (["0,1", "1,many"], "a.csv, line 2: steps: 'many' is not a count"),
        (["0,-1"], "a.csv, line 1: steps: '-1' is not a count"),
        (["0,1,2"], "a.csv, line 1: has 3 columns"),
        (["5,1", "4,1"], "a.csv: row 2 is earlier"),
        (['{"at": 1}', "2"], "a.csv, line 2: is not an object"),
        (['{"at": 1}', "{"], "a.csv, line 2: is not JSON"),
        (['{"when": 1}'], "a.csv, line 1: is not an object with `at`"),
        (["0,3000000"], "a.csv: has 3,000,000 steps"),
        (["nan,1"], "a.csv, line 1: at: 'nan' is neither"),
        (["0,1", "inf,1"], "a.csv, line 2: at: 'inf' is neither"),
        (["0001-01-01,1", "2026-01-01,1"], "a.csv: covers more than 31 days"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(lines, told):
    with pytest.raises(InvalidInput) as caught:
        read(lines, "a.csv")
    assert str(caught.value).startswith(told)
