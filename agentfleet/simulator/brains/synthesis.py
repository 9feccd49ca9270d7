"""A value that satisfies a JSON schema, made of what the conversation offers and of plain fillers where it offers nothing."""

import math
from typing import Any, cast

from agentfleet.simulator.brains.fitting import fits, resolve
from agentfleet.simulator.brains.hints import Hints
from agentfleet.simulator.brains.patterns import example
from agentfleet.simulator.wire import Json

DEEPEST = 12
PROSE = frozenset(
    {"answer", "content", "description", "explanation", "input", "message", "notes", "prompt", "query", "question"}
    | {"reason", "result", "summary", "text", "topic", "why"}
)
FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "email": "someone@example.com",
    "ipv4": "192.0.2.1",
    "time": "00:00:00Z",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def synthesise(schema: Json, hints: Hints, *, prose: str) -> Any:
    """A value for `schema`. `prose` fills strings whose name asks for a sentence."""
    return _Synthesis(schema, hints, prose).value(schema, "", 0)


class _Synthesis:
    def __init__(self, root: Json, hints: Hints, prose: str) -> None:
        self.root = root
        self.hints = hints
        self.prose = prose

    def value(self, schema: Json, name: str, depth: int) -> Any:
        schema = resolve(schema, self.root)
        if depth > 2 * DEEPEST:  # a schema that requires itself has no finite value
            return None
        if "const" in schema:
            return schema["const"]
        if name and (found := self.hints.find(name, schema, self.root)):
            return found[0]
        if "enum" in schema:
            return schema["enum"][0]
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self._one_of(schema[key], name, depth)
        match self._kind(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                count = schema.get("minItems", 0)
                return [self.value(schema.get("items", {}), "", depth + 1) for _ in range(count)]
            case "integer":
                return int(_number(schema, step=schema.get("multipleOf", 1)))
            case "number":
                return _number(schema, step=schema.get("multipleOf", 1))
            case "boolean":
                return False
            case "null":
                return None
            case _:
                return self._string(schema, name)

    def _kind(self, schema: Json) -> str:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            return next((one for one in cast("list[str]", kind) if one != "null"), "null")
        return str(kind)

    def _one_of(self, options: list[Json], name: str, depth: int) -> Any:
        nulls = [option for option in options if resolve(option, self.root).get("type") == "null"]
        if nulls and depth > DEEPEST:  # a tree that contains itself ends here
            return None
        return self.value(next((option for option in options if option not in nulls), options[0]), name, depth + 1)

    def _object(self, schema: Json, depth: int) -> Json:
        made: Json = {}
        required = set(schema.get("required", ()))
        for name, child in schema.get("properties", {}).items():
            if name in required:
                made[name] = self.value(child, name, depth + 1)
            elif found := self.hints.find(name, resolve(child, self.root), self.root):
                made[name] = found[0]
        return made

    def _string(self, schema: Json, name: str) -> str:
        shortest, longest = schema.get("minLength", 0), schema.get("maxLength", 2000)
        if "pattern" in schema:
            return example(schema["pattern"])
        candidates = [
            FORMATS.get(schema.get("format", ""), ""),
            self.prose if name.lower() in PROSE else "",
            f"sample {name}".strip(),
        ]
        text = next(candidate for candidate in candidates if candidate)[:longest].ljust(shortest, "x")
        return text if fits(text, schema, self.root) else text[:longest]


def _number(schema: Json, step: float) -> float:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    start = low if low is not None else min(1, high) if high is not None else 1
    value = math.ceil(start / step) * step
    if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
        value += step
    if high is not None and value > high or value == schema.get("exclusiveMaximum"):
        # Only an interval narrower than a step gets here: take its middle.
        value = (start + high) / 2 if low is not None else math.floor((high or 0) / step) * step - step
    return value
