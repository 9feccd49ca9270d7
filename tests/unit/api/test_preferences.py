import pytest

from agentfleet.api.preferences import wait_seconds


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("wait=10", 10),
        ("respond-async, wait=10", 10),
        ("WAIT = 5", 5),
        ('wait="7"', 7),
        ("wait=0", 0),
        ("wait=3; foo=bar", 3),
        ("wait=5, wait=9", 5),
        ("wait=999999999", 60),
        ("wait=99999999999999999999", None),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=soon", None),
        ("waiting=4", None),
        ("handling=lenient", None),
    ],
)
def test_a_wait_is_understood_or_ignored(header: str | None, seconds: int | None) -> None:
    assert wait_seconds(header, 60.0) == seconds
