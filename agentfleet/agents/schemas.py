"""JSON schemas that the Messages API accepts, from pydantic's.

A tool's ``input_schema`` may hold any JSON schema; we only make it smaller and closed. The schema of an output is a
contract that the provider enforces, and it knows a subset only: closed objects, no recursion, no ranges or lengths
(https://platform.claude.com/docs/en/build-with-claude/structured-outputs). What it cannot enforce is moved into the
description, where the model reads it, and pydantic checks it in the end.
"""

from collections.abc import Callable
from typing import Any, cast

from pydantic import BaseModel

from agentfleet.domain.errors import InvalidInput

Schema = dict[str, Any]

_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_MAPS = ("properties", "$defs", "patternProperties")
_SINGLES = ("items", "additionalProperties", "not")
_ENFORCED = frozenset({"type", "enum", "const", "anyOf", "allOf", "properties", "required", "items", "description"})
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
_SILENT = frozenset({"default", "discriminator", "examples", "additionalProperties"})


def input_schema(model: type[BaseModel]) -> Schema:
    """The schema of a tool's arguments: references inlined, titles dropped, objects closed."""
    return _closed(_inlined(model.model_json_schema()))


def output_schema(model: type[BaseModel]) -> Schema:
    """The schema of an agent's output, reduced to what the provider enforces.

    Raises ``InvalidInput`` for what it cannot express: recursion, free keys, untyped values.
    """
    schema = _inlined(model.model_json_schema())
    if "$defs" in schema:
        raise InvalidInput("output_type", f"{model.__name__} is recursive, which structured outputs cannot express")
    return _enforceable(_closed(schema), model.__name__)


def _inlined(schema: Schema) -> Schema:
    """``schema`` with every reference replaced by what it names. Recursive definitions stay in ``$defs``."""
    definitions = cast("dict[str, Schema]", schema.get("$defs", {}))
    recursive: set[str] = set()

    def walk(node: Schema, above: tuple[str, ...]) -> Schema:
        ref = node.get("$ref")
        if isinstance(ref, str):
            name = ref.removeprefix("#/$defs/")
            if name in above:
                recursive.add(name)
                return node
            beside = {key: value for key, value in node.items() if key != "$ref"}
            return {**walk(definitions[name], (*above, name)), **walk(beside, above)}
        return _mapped(node, lambda child, _: walk(child, above))

    body = walk({key: value for key, value in schema.items() if key != "$defs"}, ())
    if recursive:  # one unrolled level of a recursion is no gain: keep pydantic's own references
        return schema
    return body


def _closed(node: Schema) -> Schema:
    """Without titles; objects with properties take no others."""
    closed = _mapped(node, lambda child, _: _closed(child))
    if isinstance(closed.get("title"), str):
        del closed["title"]
    if closed.get("type") == "object" and "properties" in closed:
        closed.setdefault("additionalProperties", False)
    closed.pop("discriminator", None)  # it points into the definitions that were inlined
    return closed


def _enforceable(node: Schema, where: str) -> Schema:
    if node.get("type") == "object" and node.get("additionalProperties", True) is not False:
        raise InvalidInput("output_type", f"{where} has free keys, which structured outputs cannot express: use a list")
    if not node.keys() & {"type", "enum", "const", "anyOf", "oneOf", "allOf"}:
        raise InvalidInput("output_type", f"{where} has no type: structured outputs need one")
    kept = {key: value for key, value in node.items() if key in _ENFORCED}
    if "oneOf" in node:
        kept["anyOf"] = node["oneOf"]
    if node.get("format") in _FORMATS:
        kept["format"] = node["format"]
    if node.get("minItems") in (0, 1):
        kept["minItems"] = node["minItems"]
    if node.get("type") == "object":
        kept["additionalProperties"] = False
    wishes = {key: value for key, value in node.items() if key not in kept and key not in _SILENT and key != "oneOf"}
    if wishes:
        words = ", ".join(f"{key}: {value}" for key, value in wishes.items())
        kept["description"] = f"{kept['description']}\n\n{{{words}}}" if "description" in kept else f"{{{words}}}"
    return _mapped(kept, lambda child, name: _enforceable(child, f"{where}.{name}"))


def _mapped(node: Schema, change: Callable[[Schema, str], Schema]) -> Schema:
    """A copy of ``node`` with ``change(child, its name)`` in place of every schema right below it."""

    def apply(child: Any, name: str) -> Any:
        return change(cast("Schema", child), name) if isinstance(child, dict) else child

    changed = dict(node)
    for key in _LISTS:
        if isinstance(node.get(key), list):
            changed[key] = [apply(child, key) for child in node[key]]
    for key in _MAPS:
        if isinstance(node.get(key), dict):
            changed[key] = {name: apply(child, name) for name, child in node[key].items()}
    for key in _SINGLES:
        if key in node:
            changed[key] = apply(node[key], key)
    return changed
