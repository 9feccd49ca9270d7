"""Where the values of a JSON object stand in its text, so that they can be kept as they were received."""

import json
from collections.abc import Iterator

_DECODER = json.JSONDecoder()
_SPACE = " \t\n\r"


def members(text: str, start: int = 0) -> dict[str, tuple[int, int]]:
    """Key → the span of its value, for the object that begins at ``start``. Raises ``ValueError``: there is none."""
    found: dict[str, tuple[int, int]] = {}
    at = _expect(text, start, "{")
    while text[at : at + 1] != "}":
        key, at = _DECODER.raw_decode(text, _expect(text, at, '"') - 1)
        begin = _skip(text, _expect(text, at, ":"))
        _, end = _DECODER.raw_decode(text, begin)
        found[key] = begin, end
        at = _skip(text, end)
        if text[at : at + 1] != "}":
            at = _skip(text, _expect(text, at, ","))
    return found


def elements(text: str, start: int = 0) -> Iterator[tuple[int, int]]:
    """The spans of the values in the list that begins at ``start``. Raises ``ValueError``: there is none."""
    at = _skip(text, _expect(text, start, "["))
    while text[at : at + 1] != "]":
        _, end = _DECODER.raw_decode(text, at)
        yield at, end
        at = _skip(text, end)
        if text[at : at + 1] != "]":
            at = _skip(text, _expect(text, at, ","))


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] in _SPACE and at < len(text):
        at += 1
    return at


def _expect(text: str, at: int, what: str) -> int:
    at = _skip(text, at)
    if text[at : at + 1] != what:
        raise ValueError(f"expected {what!r} at character {at}")
    return at + 1
