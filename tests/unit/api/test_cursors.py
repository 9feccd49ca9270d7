import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfleet.api import cursors
from agentfleet.api.problems import Problem

ID = "01a1fddc-3959-74d2-8d28-c399b37dd7a8"


@given(st.uuids().map(str))
def test_an_id_comes_back(name: str) -> None:
    assert cursors.decode_id("runs", cursors.encode("runs", name)) == name


@given(st.integers(0, 999_999_999), st.integers(0, 999_999_999))
def test_numbers_come_back(one: int, two: int) -> None:
    assert cursors.decode_numbers("messages", cursors.encode("messages", one, two), -1, -1) == (one, two)


def test_no_cursor_is_the_first_page() -> None:
    assert cursors.decode_id("runs", None) is None
    assert cursors.decode_numbers("steps", None, -1) == (-1,)


def forged(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "====", "\u00fc", "a b", forged("steps:1"), forged("runs"), forged("runs:1"), forged(f"runs:{ID}:{ID}"),
     forged("runs:" + ID.upper()), forged("runs:' OR 1=1")],
)  # fmt: skip
def test_a_cursor_of_another_list_or_of_nobodys_is_refused(cursor: str) -> None:
    with pytest.raises(Problem) as caught:
        cursors.decode_id("runs", cursor)
    assert caught.value.kind.status == 422


@pytest.mark.parametrize(
    "cursor", [forged("steps:-1"), forged("steps:1:2"), forged("steps:9999999999"), forged("steps:\u0665")]
)
def test_a_number_that_is_none_is_refused(cursor: str) -> None:
    with pytest.raises(Problem):
        cursors.decode_numbers("steps", cursor, -1)


@given(st.text(max_size=60))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    with suppress(Problem):
        [number] = cursors.decode_numbers("steps", text, -1)
        assert number >= 0


@pytest.mark.parametrize(
    "text", ["", "1", "replay", ID + "0", ID.replace("-", ""), f"{{{ID}}}", f"urn:uuid:{ID}", f" {ID}", ID + "\n"]
)
def test_what_is_no_uuid_in_its_usual_form_names_nothing(text: str) -> None:
    with pytest.raises(Problem) as caught:
        cursors.parse_id("run", text)
    assert caught.value.kind.status == 404


def test_a_uuid_may_come_in_capitals() -> None:
    assert cursors.parse_id("run", ID.upper()) == ID
