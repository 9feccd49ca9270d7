"""Whether a value satisfies a JSON schema: the part of the vocabulary that tool and output schemas use."""

import re
from typing import Any, cast

from agentfleet.simulator.wire import Json

TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}


def resolve(schema: Json, root: Json) -> Json:
    """Follow `$ref` inside the document and merge `allOf`."""
    seen = 0
    while "$ref" in schema and seen < 16:  # a reference to itself ends as "anything"
        node: Any = root
        for part in str(schema["$ref"]).removeprefix("#").strip("/").split("/"):
            node = cast("Json", node).get(part.replace("~1", "/").replace("~0", "~"), {}) if part else node
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**cast("Json", node), **rest}
        seen += 1
    for part in schema.get("allOf", ()):
        merged = resolve(part, root)
        properties = {**schema.get("properties", {}), **merged.get("properties", {})}
        required = [*schema.get("required", ()), *merged.get("required", ())]
        schema = {**schema, **merged}
        if properties:
            schema |= {"properties": properties, "required": required}
    return schema


def fits(value: Any, schema: Json, root: Json) -> bool:
    """Whether `value` satisfies `schema`, with `root` the document that `$ref` points into."""
    schema = resolve(schema, root)
    if "const" in schema and value != schema["const"]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    for key in ("anyOf", "oneOf"):
        if key in schema and not any(fits(value, option, root) for option in schema[key]):
            return False
    return _type_fits(value, schema.get("type")) and _bounds_fit(value, schema) and _parts_fit(value, schema, root)


def _type_fits(value: Any, kind: Any) -> bool:
    if kind is None:
        return True
    kinds = cast("list[str]", kind) if isinstance(kind, list) else [str(kind)]
    if isinstance(value, bool):  # bool is an int in Python and not in JSON
        return "boolean" in kinds
    if isinstance(value, float) and value.is_integer() and "integer" in kinds:
        return True
    return any(isinstance(value, TYPES.get(name, (object,))) for name in kinds)


def _bounds_fit(value: Any, schema: Json) -> bool:
    if isinstance(value, str):
        pattern = schema.get("pattern")
        return schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)) and (
            pattern is None or matches(pattern, value)
        )
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return True
    return (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
        and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
        and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
        and ("multipleOf" not in schema or value % schema["multipleOf"] == 0)
    )


def _parts_fit(value: Any, schema: Json, root: Json) -> bool:
    if isinstance(value, list):
        items = cast("list[Any]", value)
        size_fits = schema.get("minItems", 0) <= len(items) <= schema.get("maxItems", len(items))
        return size_fits and all(fits(item, schema.get("items", {}), root) for item in items)
    if isinstance(value, dict):
        fields = cast("Json", value)
        known: Json = schema.get("properties", {})
        closed = schema.get("additionalProperties") is False
        return all(name in fields for name in schema.get("required", ())) and all(
            fits(child, known[name], root) if name in known else not closed for name, child in fields.items()
        )
    return True


def matches(pattern: str, text: str) -> bool:
    """Whether a JSON schema pattern, which is not anchored, is found in the text; a pattern we cannot read matches."""
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return True
