"""A value that satisfies a JSON schema, made of what the conversation offers and of plain fillers for the rest."""

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
        """A value for one node: what is fixed, else what was said under this name, else a filler."""
        schema = resolve(schema, self.root)
        if depth > 2 * DEEPEST:  # a schema that requires itself has no finite value
            return None
        if "const" in schema:
            return schema["const"]
        if name and (found := self.hints.find(name, schema, self.root)):
            return found[0]
        if "enum" in schema:
            return schema["enum"][0]
        options: list[Json] = schema.get("anyOf") or schema.get("oneOf") or []
        return self._one_of(options, name, depth) if options else self._filler(schema, name, depth)

    def _filler(self, schema: Json, name: str, depth: int) -> Any:
        match self._kind(schema):
            case "object":
                made: Any = self._object(schema, depth)
            case "array":
                made = [self.value(schema.get("items", {}), "", depth + 1) for _ in range(schema.get("minItems", 0))]
            case "integer":
                made = int(number(schema))
            case "number":
                made = number(schema)
            case "boolean":
                made = False
            case "null":
                made = None
            case _:
                made = self._string(schema, name)
        return made

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


def number(schema: Json) -> float:
    """A number within the schema's bounds: the smallest, in whole steps where it asks for them; 1 when it has none."""
    step: float = schema.get("multipleOf", 1)
    low: float | None = schema.get("minimum", schema.get("exclusiveMinimum"))
    high: float | None = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is None:
        low = 1 if high is None or high >= 1 else math.floor(high / step) * step - step
    candidates = [math.ceil(low / step) * step, math.floor(low / step) * step + step]
    if high is not None:
        candidates += [(low + high) / 2, low, high]  # an interval narrower than a step
    bounds: Json = {key: value for key, value in schema.items() if key != "type"}
    return next((value for value in candidates if fits(value, bounds, {})), candidates[0])
