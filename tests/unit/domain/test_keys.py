import uuid
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from agentfleet.domain.keys import effect_key, fingerprint

ids = st.uuids().map(str)
calls = st.tuples(ids, ids, st.from_regex(r"toolu_[A-Za-z0-9]{1,24}", fullmatch=True))
parts = st.lists(st.binary(max_size=12), max_size=6)


@given(calls)
def test_an_effect_key_is_run_step_and_call_and_nothing_of_the_attempt(call: tuple[str, str, str]) -> None:
    assert effect_key(*call) == ":".join(call) == effect_key(*call)


@given(calls, calls)
def test_different_calls_have_different_effect_keys(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    assert (effect_key(*one) == effect_key(*other)) is (one == other)


def test_every_id_of_a_call_is_in_its_effect_key() -> None:
    runs, steps = ([str(uuid.UUID(int=n)) for n in range(start, start + 3)] for start in (0, 10))
    assert len({effect_key(*call) for call in product(runs, steps, ["toolu_1", "toolu_2"])}) == 18


@given(parts, parts)
def test_a_fingerprint_is_equal_exactly_for_equal_parts(one: list[bytes], other: list[bytes]) -> None:
    assert (fingerprint(*one) == fingerprint(*other)) is (one == other)


@given(st.binary(max_size=20), st.binary(min_size=1, max_size=20), st.binary(max_size=20))
def test_a_fingerprint_knows_where_one_part_ends(head: bytes, middle: bytes, tail: bytes) -> None:
    splits = [(head, middle, tail), (head + middle, tail), (head, middle + tail), (head + middle + tail,)]
    assert len({fingerprint(*split) for split in splits}) == len(splits)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_fingerprint_sees_every_byte(before: bytes, after: bytes) -> None:
    assert fingerprint(before + b"a" + after) != fingerprint(before + b"b" + after)


@given(parts)
def test_empty_parts_count(some: list[bytes]) -> None:
    assert fingerprint(*some) != fingerprint(*some, b"")
    assert len(fingerprint(*some)) == 32


def test_fingerprints_are_stable_over_releases() -> None:
    # Stored beside request keys: another digest would turn every repeated request of the last days into a conflict.
    assert fingerprint(b"POST", b"{}").hex() == "91958dd0dd77311900c66e1dcef38ff48de0f56d60790dcafecf9a4a9ec9d188"
