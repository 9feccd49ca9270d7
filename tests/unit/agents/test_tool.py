import json
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, cast

import pytest
from pydantic import BaseModel, Field, ValidationError

from agentfleet.agents import ToolContext, tool
from agentfleet.domain.errors import InvalidInput


class Currency(StrEnum):
    EUR = "eur"
    USD = "usd"


class Money(BaseModel):
    """An amount."""

    cents: int = Field(ge=0, description="In cents.")
    currency: Currency = Currency.EUR


def test_signature_and_docstring_become_the_tool_dict_that_the_model_sees():
    @tool(effect="idempotent", timeout=20)
    async def refund(
        ctx: ToolContext,
        order_id: Annotated[str, Field(description="As printed.")],
        amount: Money,
        *,
        note: str = "none",
    ) -> str:
        """Refund an order.

        Once.
        """
        return order_id

    assert refund.spec == {
        "name": "refund",
        "description": "Refund an order.\n\nOnce.",
        "input_schema": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "order_id": {"type": "string", "description": "As printed."},
                "amount": {
                    "type": "object",
                    "description": "An amount.",
                    "additionalProperties": False,
                    "properties": {
                        "cents": {"type": "integer", "minimum": 0, "description": "In cents."},
                        "currency": {"type": "string", "enum": ["eur", "usd"], "default": "eur"},
                    },
                    "required": ["cents"],
                },
                "note": {"type": "string", "default": "none"},
            },
            "required": ["order_id", "amount"],
        },
    }
    assert (refund.effect, refund.timeout, refund.is_async, refund.takes_context) == ("idempotent", 20, True, True)
    json.dumps(refund.spec)


def test_a_decorated_function_is_still_a_function():
    @tool(effect="read")
    def double(number: int) -> int:
        """Double it."""
        return number * 2

    assert double(21) == 42


def test_arguments_are_parsed_into_what_the_hints_say_and_defaults_fill_the_rest():
    @tool(effect="read")
    def look(amount: Money, day: date, limits: tuple[int, ...] = (1, 2)) -> None:
        """Look."""

    parsed = look.parse({"amount": {"cents": 5}, "day": "2026-11-21"})
    assert parsed == {"amount": Money(cents=5, currency=Currency.EUR), "day": date(2026, 11, 21), "limits": (1, 2)}


@pytest.mark.parametrize("arguments", [{}, {"number": "x"}, {"number": 1, "extra": 1}, {"arg_number": 1}])
def test_missing_wrong_and_surplus_arguments_are_refused(arguments):
    @tool(effect="read")
    def double(number: int) -> int:
        """Double it."""
        return number * 2

    with pytest.raises(ValidationError):
        double.parse(arguments)


def test_parameters_may_have_names_that_pydantic_keeps_for_itself():
    @tool(effect="read")
    def odd(schema: str, json: str, _id: int, model_config: str) -> None:
        """Odd names."""

    assert list(odd.spec["input_schema"]["properties"]) == ["schema", "json", "_id", "model_config"]
    arguments = {"schema": "a", "json": "b", "_id": 1, "model_config": "c"}
    assert odd.parse(arguments) == arguments


def test_a_recursive_type_keeps_its_definitions():
    class Node(BaseModel):
        title: str
        children: list["Node"] = []

    @tool(effect="read")
    def walk(node: Node) -> None:
        """Walk a tree."""

    schema = walk.spec["input_schema"]
    assert schema["properties"]["node"] == {"$ref": "#/$defs/Node"}
    assert schema["$defs"]["Node"]["properties"]["title"] == {"type": "string"}
    assert schema["$defs"]["Node"]["additionalProperties"] is False


def test_a_tool_without_parameters_takes_the_empty_object_only():
    @tool(effect="read", name="now")
    def current_time() -> str:
        """Tell the time."""
        return "noon"

    assert current_time.spec["name"] == "now"
    assert current_time.spec["input_schema"] == {"type": "object", "properties": {}, "additionalProperties": False}


def test_the_effect_must_be_declared_and_the_error_names_the_three_choices():
    def act() -> None:
        """Act."""

    for attempt in (lambda: tool()(act), lambda: tool(act), lambda: tool(effect=cast("Any", "maybe"))(act)):
        with pytest.raises(InvalidInput, match=r'"read" \| "idempotent" \| "unsafe"') as caught:
            attempt()
        assert caught.value.field == "tool act"


def no_docstring(number: int):
    return number


def no_hint(number):
    """Do."""


def star(*numbers: int):
    """Do."""


def keywords(**numbers: int):
    """Do."""


def positional(number: int, /):
    """Do."""


def late_context(number: int, ctx: ToolContext):
    """Do."""


def unknown_hint(number: "Nowhere"):  # noqa: F821  # pyright: ignore[reportUndefinedVariable]  # that is the point
    """Do."""


def no_json(thing: Exception):
    """Do."""


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (no_docstring, "docstring"),
        (no_hint, "type hint"),
        (star, "ordinary"),
        (keywords, "ordinary"),
        (positional, "ordinary"),
        (late_context, "first parameter"),
        (unknown_hint, "Nowhere"),
        (no_json, "JSON"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_when_it_is_defined(function, problem):
    with pytest.raises(InvalidInput, match=problem):
        tool(effect="read")(function)


def test_names_and_timeouts_are_checked():
    def act():
        """Act."""

    with pytest.raises(InvalidInput, match="64 letters"):
        tool(effect="read", name="two words")(act)
    with pytest.raises(InvalidInput, match="greater than zero"):
        tool(effect="read", timeout=0)(act)
