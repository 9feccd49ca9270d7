"""Values seen in the conversation, by name, for a brain to put where a schema has a property of that name."""

import re
from collections.abc import Iterator
from json import JSONDecodeError, JSONDecoder
from typing import Any

from agentfleet.simulator.brains.fitting import fits
from agentfleet.simulator.wire import Json

PAIR = re.compile(r"\b([A-Za-z_][\w-]{1,40})\s*[:=]\s*(\"[^\"]*\"|'[^']*'|[^\s,;]+)")
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.])")
QUOTED = re.compile(r"[\"'`]([^\"'`\n]{1,80})[\"'`]")
MOST_OBJECTS = 8  # JSON objects looked for inside one text
DECODER = JSONDecoder()


class Hints:
    """Named values, first learnt first offered, and the loose values of plain text."""

    def __init__(self) -> None:
        self.text = ""
        self._named: dict[str, list[Any]] = {}
        self._loose: list[Any] = []

    def learn(self, value: Any) -> None:
        """Remember every named value inside a JSON value; outer names are offered before inner ones."""
        layer: list[Any] = [value]
        while layer:
            inner: list[Any] = []
            for node in layer:
                if isinstance(node, dict):
                    for name, child in node.items():  # pyright: ignore[reportUnknownVariableType]
                        self._named.setdefault(_bare(str(name)), []).append(child)  # pyright: ignore[reportUnknownArgumentType]
                        inner.append(child)
                elif isinstance(node, list):
                    inner.extend(node)  # pyright: ignore[reportUnknownArgumentType]
            layer = inner

    def learn_text(self, text: str) -> None:
        """Remember a person's text: JSON objects in it, `name: value` pairs, quoted words, numbers, a lone word."""
        self.text = text.strip()
        objects = list(_objects(text))
        for found in objects:
            self.learn(found)
        if objects:
            return
        for name, raw in PAIR.findall(text):
            self._named.setdefault(_bare(name), []).extend(_readings(raw.strip("\"'.")))
        self._loose.extend(QUOTED.findall(text))
        for raw in NUMBER.findall(text):
            self._loose.extend(_readings(raw)[:1])
        if self.text and not re.search(r"\s", self.text):
            self._loose.append(self.text)

    def find(self, name: str, schema: Json, root: Json) -> list[Any]:
        """Values that fit the schema, best first: those called `name`, else a loose one. Empty when nothing fits."""
        named = [value for value in self._named.get(_bare(name), ()) if fits(value, schema, root)]
        return named or [value for value in self._loose if fits(value, schema, root)]


def _bare(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _readings(raw: str) -> list[Any]:
    for read in (int, float):
        try:
            return [read(raw), raw]
        except ValueError:
            continue
    return [raw]


def _objects(text: str) -> Iterator[Any]:
    start = text.find("{")
    for _ in range(MOST_OBJECTS):
        if start < 0:
            return
        try:
            value, end = DECODER.raw_decode(text, start)
        except JSONDecodeError:
            end = start + 1
        else:
            yield value
        start = text.find("{", end)
