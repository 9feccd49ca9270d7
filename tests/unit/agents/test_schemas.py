from enum import StrEnum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from agentfleet.agents.schemas import input_schema, output_schema
from agentfleet.domain.errors import InvalidInput


class Risk(StrEnum):
    LOW = "low"
    HIGH = "high"


class Finding(BaseModel):
    """One finding."""

    title: str = Field(max_length=80)
    risk: Risk


class Report(BaseModel):
    findings: list[Finding] = Field(min_length=2)
    score: int = Field(ge=0, le=10, description="From bad to good.")
    license: str | None = None


def test_output_schema_keeps_what_the_provider_enforces_and_tells_the_model_the_rest():
    assert output_schema(Report) == {
        "type": "object",
        "additionalProperties": False,
        "required": ["findings", "score"],
        "properties": {
            "findings": {
                "type": "array",
                "description": "{minItems: 2}",
                "items": {
                    "type": "object",
                    "description": "One finding.",
                    "additionalProperties": False,
                    "required": ["title", "risk"],
                    "properties": {
                        "title": {"type": "string", "description": "{maxLength: 80}"},
                        "risk": {"type": "string", "enum": ["low", "high"]},
                    },
                },
            },
            "score": {"type": "integer", "description": "From bad to good.\n\n{maximum: 10, minimum: 0}"},
            "license": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
    }


def test_a_union_by_discriminator_has_no_pointer_into_definitions_that_are_gone():
    class Cat(BaseModel):
        kind: Literal["cat"]

    class Dog(BaseModel):
        kind: Literal["dog"]

    class Owner(BaseModel):
        pet: Cat | Dog = Field(discriminator="kind")

    assert "discriminator" not in input_schema(Owner)["properties"]["pet"]
    pets = output_schema(Owner)["properties"]["pet"]["anyOf"]
    assert [pet["properties"]["kind"]["const"] for pet in pets] == ["cat", "dog"]


class Tree(BaseModel):
    branches: list["Tree"]


class Anything(BaseModel):
    value: Any


class FreeKeys(BaseModel):
    counts: dict[str, int]


class Open(BaseModel, extra="allow"):
    name: str


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (Tree, "recursive"),
        (Anything, "Anything.value has no type"),
        (FreeKeys, "FreeKeys.counts has free keys"),
        (Open, "Open has free keys"),
    ],
)
def test_an_output_that_the_provider_cannot_enforce_is_refused_by_name(model, problem):
    with pytest.raises(InvalidInput, match=problem):
        output_schema(model)
