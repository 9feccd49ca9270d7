"""Failures of one kind at one place have one fingerprint, whatever ids and numbers they carry."""

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfleet.domain.fingerprint import SHAPE_CHARS, fingerprint, shape

WORDS = st.lists(st.text(string.ascii_letters, min_size=1, max_size=7), min_size=1, max_size=6)
VARYING = st.one_of(
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(str),
    st.uuids().map(str),
    st.binary(min_size=4, max_size=20).map(bytes.hex),
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.from_regex(r"req_[a-z]{3}[0-9][A-Za-z0-9]{4}", fullmatch=True),
    st.from_regex(r"[a-z]{2,8}:[0-9]{1,5}", fullmatch=True),
    st.from_regex(r"https?://[a-z]{1,9}\.example/[a-z/?=&.-]{0,20}", fullmatch=True),
    st.from_regex(r"(/[a-z._-]{1,8}){1,4}", fullmatch=True),
    st.text(string.ascii_letters + " ,;!-", max_size=30).map(lambda text: f"'{text}'"),
    st.text(string.ascii_letters + " ,;!'-", max_size=30).map(lambda text: f'"{text}"'),
)
PLACE = {"verdict": "permanent", "agent": "support", "kind": "tool", "name": "refund"}


def of(message: str, **place: str) -> str:
    where: dict[str, Any] = {**PLACE, **place}
    return fingerprint(where.pop("verdict"), **where, error={"class": "provider_rejected", "message": message})


@given(WORDS, WORDS, st.lists(VARYING, min_size=1, max_size=5), st.lists(VARYING, min_size=1, max_size=5))
def test_ids_numbers_paths_urls_and_quoted_texts_do_not_matter(before, after, first, second) -> None:
    """Nor how many of them stand together."""
    words, more = " ".join(before), " ".join(after)
    assert of(f"{words} {', '.join(first)} {more}") == of(f"{words} {', '.join(second)} {more}")


@given(st.text(max_size=2_000))
def test_any_text_has_a_short_shape_of_one_line(message) -> None:
    found = shape(message)
    assert len(found) <= SHAPE_CHARS
    assert "\n" not in found
    assert of(message) == of(message)


@given(st.dictionaries(st.sampled_from(sorted(PLACE)), st.text(min_size=1, max_size=8), min_size=1))
def test_another_verdict_or_place_is_another_fingerprint(place) -> None:
    assert (of("no such order", **place) == of("no such order")) == ({**PLACE, **place} == PLACE)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("can't open '/tmp/a b' for order 17", "can't open # for order #"),
        ("worker steps-7d4f-xkqzl:31 stopped: crash 3 of this step", "worker # stopped: crash # of this step"),
        ("GET https://api.example/v1/x?y=1 timed out\nafter 3.5 s", "GET # timed out after # s"),
        ("key deadbeefcafe is not in ['a', 'b', 'c']", "key # is not in [#]"),
        ('a text that was cut off: "no end', "a text that was cut off: #"),
        ("no such model", "no such model"),
        ("they don't and they won't", "they don't and they won't"),
    ],
)
def test_what_varies_becomes_one_mark(message, expected) -> None:
    assert shape(message) == expected


def test_other_words_are_another_fingerprint() -> None:
    assert of("no such order") != of("no such customer")
    assert of("x") != fingerprint(**PLACE, error={"class": "step_timeout", "message": "x"})
