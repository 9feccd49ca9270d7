"""Values made for schemas always satisfy them."""

from typing import Any

import pytest

from agentfleet.simulator.brains.fitting import fits, matches
from agentfleet.simulator.brains.hints import Hints
from agentfleet.simulator.brains.patterns import example
from agentfleet.simulator.brains.synthesis import synthesise

NODE = {
    "$ref": "#/$defs/Node",
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
            "required": ["name", "next"],
        }
    },
}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"type": "string", "minLength": 30},
        {"type": "string", "maxLength": 2},
        {"type": "string", "format": "uuid"},
        {"type": "string", "pattern": r"^[A-Z]{3}-\d{4}$"},
        {"type": "integer"},
        {"type": "integer", "minimum": 10, "multipleOf": 7},
        {"type": "integer", "exclusiveMinimum": 3},
        {"type": "integer", "maximum": -5},
        {"type": "integer", "exclusiveMaximum": 0},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        {"type": "boolean"},
        {"type": "null"},
        {"type": ["null", "integer"]},
        {"enum": ["low", "high"]},
        {"const": 4},
        {"anyOf": [{"type": "null"}, {"type": "integer"}]},
        {"oneOf": [{"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]}]},
        {"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}]},
        {"type": "array", "items": {"type": "integer"}, "minItems": 2},
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False},
        NODE,
    ],
)
def test_a_made_value_satisfies_its_schema(schema: dict[str, Any]) -> None:
    made = synthesise(schema, Hints(), prose="A sentence.")
    assert fits(made, schema, schema), made


@pytest.mark.parametrize(
    ("schema", "wrong"),
    [
        ({"type": "integer"}, True),
        ({"type": "integer"}, 1.5),
        ({"type": "string", "pattern": "^a"}, "b"),
        ({"type": "number", "minimum": 2}, 1),
        ({"type": "object", "required": ["a"]}, {}),
        ({"type": "object", "properties": {}, "additionalProperties": False}, {"a": 1}),
        ({"type": "array", "items": {"type": "string"}}, [1]),
        ({"enum": [1]}, 2),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 1),
    ],
)
def test_a_wrong_value_does_not_fit(schema: dict[str, Any], wrong: Any) -> None:
    assert not fits(wrong, schema, schema)


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\d{4}-\d{2}-\d{2}$",
        r"^[a-z0-9]+(?:-[a-z0-9]+)*$",
        r"^(low|medium|high)$",
        r"^v?\d+\.\d+(\.\d+)?$",
        r"^[^/]+/[^/]+$",
        r"^\w+@\w+\.com$",
        r"[A-Z]{2,5}",
        r"^(?P<year>\d{4})\.x$",
        r"^[\w.-]{1,20}$",
        r"^$",
    ],
)
def test_an_example_matches_its_pattern(pattern: str) -> None:
    assert matches(pattern, example(pattern))


@pytest.mark.parametrize("pattern", ["(", "[", r"(?<=x)y", "*", r"^\p{L}+$"])
def test_a_pattern_beyond_the_reader_still_gives_a_text(pattern: str) -> None:
    assert isinstance(example(pattern), str)


def learnt(text: str) -> Hints:
    hints = Hints()
    hints.learn_text(text)
    return hints


@pytest.mark.parametrize(
    ("text", "name", "schema", "value"),
    [
        ('{"order_id": "A-1"}', "order_id", {"type": "string"}, "A-1"),
        ('{"orderId": "A-1"}', "order_id", {"type": "string"}, "A-1"),
        ('Refund {"order": {"id": 7}} please', "id", {"type": "integer"}, 7),
        ("amount: 450, reason=late", "amount", {"type": "integer"}, 450),
        ("amount: 450, reason=late", "reason", {"type": "string"}, "late"),
        ("Take the 7 o'clock train", "hour", {"type": "integer"}, 7),
        ('Look for "blue door" now', "what", {"type": "string"}, "blue door"),
        ("requests", "distribution", {"type": "string"}, "requests"),
    ],
)
def test_a_value_the_user_gave_is_used(text: str, name: str, schema: dict[str, Any], value: Any) -> None:
    wanted = {"type": "object", "properties": {name: schema}, "required": [name]}
    assert synthesise(wanted, learnt(text), prose=text) == {name: value}


def test_a_value_that_does_not_fit_is_not_used() -> None:
    schema = {"type": "object", "properties": {"size": {"enum": ["s", "m"]}}, "required": ["size"]}
    assert synthesise(schema, learnt('{"size": "xxl"}'), prose="") == {"size": "s"}


def test_an_optional_property_is_filled_only_from_the_conversation() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
    assert synthesise(schema, learnt('{"b": 5}'), prose="") == {"b": 5}


def test_a_schema_that_requires_itself_comes_to_an_end() -> None:
    schema = {"type": "object", "properties": {"me": {"$ref": "#"}}, "required": ["me"]}
    assert isinstance(synthesise(schema, Hints(), prose=""), dict)
