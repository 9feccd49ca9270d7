"""The hot statements: one file each, known by name, used by somebody; and how their parameters travel."""

import re
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import agentfleet
from agentfleet.store import statements
from agentfleet.store.statements import Statement, array

ROOT = Path(agentfleet.__file__).parent
FILES = {path.stem: path.read_text("utf-8") for path in (ROOT / "store" / "sql").iterdir()}
LOADED = {name: value for name, value in vars(statements).items() if isinstance(value, Statement)}


def test_every_file_is_loaded_under_its_own_name_and_nothing_else_is():
    assert {name.lower() for name in LOADED} == set(FILES)
    for name, statement in LOADED.items():
        assert statement.sql == Statement("some", FILES[name.lower()]).sql


def test_every_statement_is_used_by_the_library():
    code = "".join(path.read_text("utf-8") for path in ROOT.rglob("*.py") if path.name != "statements.py")
    assert [name for name in LOADED if f"statements.{name}" not in code] == []


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_is_named_verb_object_and_says_who_calls_it(name):
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
    header = "".join(re.findall(r"^-- (.*)$", FILES[name], re.MULTILINE))
    assert re.search(r"Called by (engine|store)\.\w+", header) or name == "watch_runs"
    assert "agentfleet_now()" in FILES[name] or "now()" not in FILES[name], "tests own the clock"


def test_parameters_are_numbered_in_the_order_of_their_first_use():
    statement = Statement("some", "SELECT %(b)s, %(a)s, %(b)s")
    assert statement.sql == b"SELECT $1, $2, $1"
    assert statement.values({"a": 1, "b": [2]}) == ["{2}", 1]


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"))
AWKWARD = ["", " ", "NULL", "null", '"', "\\", '\\"', "{", "}", "{}", ",", "a,b", "\n", "\t", "'", "é\u2028\U0001f600"]


@pytest.fixture(scope="module")
def connection(server_urls):
    with psycopg.connect(server_urls.database_url, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        yield connection


def there_and_back(connection, values: list, kind: str) -> list:
    [(found,)] = connection.execute(f"SELECT $1::{kind}[]", [array(values)]).fetchall()
    return found


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.none() | st.sampled_from(AWKWARD) | TEXT))
def test_any_texts_arrive_as_they_were_sent(connection, values):
    assert there_and_back(connection, values, "text") == values


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("text", AWKWARD),
        ("int", [1, -1, None, 2**31 - 1]),
        ("bool", [True, False, None]),
        ("float8", [1.5, -0.0, 1e300, None]),
        ("numeric", [Decimal("0.00000001"), Decimal("1E+3"), None]),
        ("bytea", [b"", b'\x00\xff\\"', None]),
        ("uuid", []),
    ],
)
def test_every_kind_of_value_arrives_as_it_was_sent(connection, kind, values):
    assert there_and_back(connection, values, kind) == values
