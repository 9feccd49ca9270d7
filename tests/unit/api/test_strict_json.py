"""What is accepted, every parser reads the same way and Postgres can keep; a refusal points at the place."""

import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfleet.api.problems import Problem
from agentfleet.api.strict_json import MAX_DEPTH, MAX_INTEGER, MAX_NODES, MAX_STRING_BYTES, parse

E_ACUTE = "\u00e9"
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
)
KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))


def refused(body: bytes | str) -> tuple[str, str]:
    """The pointer and the words of the refusal."""
    with pytest.raises(Problem) as caught:
        parse(body.encode() if isinstance(body, str) else body)
    assert (caught.value.kind.code, caught.value.kind.status) == ("invalid_json", 422)
    [fault] = caught.value.errors
    return fault.pointer or "", fault.detail


@given(st.dictionaries(KEYS, VALUES, max_size=5), st.booleans())
def test_every_acceptable_document_is_read_as_written(document: dict[str, Any], ascii_only: bool) -> None:
    assert parse(json.dumps(document, ensure_ascii=ascii_only).encode()) == document


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode(errors="surrogatepass")))
def test_anything_else_is_refused_and_never_breaks(body: bytes) -> None:
    with suppress(Problem):
        assert isinstance(parse(body), dict)


def nested(depth: int) -> str:
    return '{"a":' * (depth - 1) + "{}" + "}" * (depth - 1)


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        ("", "", "not JSON"),
        ("[]", "", "must be a JSON object"),
        ('"text"', "", "must be a JSON object"),
        ("{", "", "line 1, column 2"),
        ('{"a":1}x', "", "not JSON"),
        ("\ufeff{}", "", "not JSON"),
        (b'{"a":"\xff"}', "", "not UTF-8"),
        ('{"a":NaN}', "/a", "NaN"),
        ('{"a":[1,-Infinity]}', "/a/1", "NaN and Infinity"),
        ('{"a":1e400}', "/a", "too large"),
        ('{"a":9007199254740993}', "/a", "2^53"),
        ('{"a":-9007199254740993}', "/a", "2^53"),
        (f'{{"a":{"9" * 5_000}}}', "/a", "too large"),
        ('{"a":{"b":1,"b":2}}', "/a", "twice"),
        ('{"a":1,"a":1}', "", "twice"),
        ('{"a":"x\\u0000y"}', "/a", "NUL"),
        ('{"a":{"x\\u0000y":1}}', "/a/x\x00y", "NUL"),
        ('{"a":"\\ud800"}', "/a", "surrogate"),
        ('{"\\udfff":1}', "/?", "surrogate"),
        ('{"a/b":{"c~d":"\\u0000"}}', "/a~1b/c~0d", "NUL"),
        (nested(MAX_DEPTH + 1), "/a" * MAX_DEPTH, "deeper"),
        ('{"a":' + "[" * 100_000 + "]" * 100_000 + "}", "", "deeper"),
        (f'{{"a":[{",".join("0" * MAX_NODES)}]}}', None, "more than"),
        (f'{{"a":"{"x" * (MAX_STRING_BYTES + 1)}"}}', "/a", "longer"),
        (f'{{"a":"{E_ACUTE * (MAX_STRING_BYTES // 2 + 1)}"}}', "/a", "longer"),
    ],
)  # fmt: skip
def test_what_others_would_read_differently_is_refused_with_its_place(
    body: bytes | str, pointer: str | None, words: str
) -> None:
    place, detail = refused(body)
    assert words in detail
    assert pointer is None or place == pointer


def test_the_limits_themselves_are_accepted() -> None:
    parse(nested(MAX_DEPTH).encode())
    parse(json.dumps({"a": "x" * MAX_STRING_BYTES, "b": MAX_INTEGER, "c": -MAX_INTEGER}).encode())
    parse(json.dumps({"a": [0] * (MAX_NODES - 2)}).encode())
    assert math.isclose(parse(b'{"a":1e308}')["a"], 1e308)
    assert parse(b'{"a":"\\ud83d\\ude00"}') == {"a": "\U0001f600"}
