"""Who may start Flower how: never so that somebody who did not log in can stop workers."""

import pytest

from agentfleet.domain.errors import InvalidInput
from workers.flower import check_access

EVERYWHERE, HERE = "", "127.0.0.1"


@pytest.mark.parametrize(
    ("logins", "emails", "address", "open_"),
    [
        (["ops:secret"], "", EVERYWHERE, False),
        (["ops:secret", "dev:a:b"], "", EVERYWHERE, False),
        ([], r".*@example\.com", EVERYWHERE, False),
        ([], "", HERE, True),
        ([], "", "::1", True),
        (["ops:secret"], "", EVERYWHERE, True),
    ],
)
def test_with_a_login_or_only_on_this_machine_it_starts(
    logins: list[str], emails: str, address: str, *, open_: bool
) -> None:
    check_access(logins, emails, address, open_=open_)


@pytest.mark.parametrize(
    ("logins", "address", "open_", "said"),
    [
        ([], EVERYWHERE, False, "FLOWER_BASIC_AUTH: is not set"),
        ([], HERE, False, "FLOWER_BASIC_AUTH: is not set"),
        ([], EVERYWHERE, True, "needs FLOWER_ADDRESS=127.0.0.1, not every address"),
        ([], "10.0.0.7", True, "not 10.0.0.7"),
        (["ops"], HERE, False, "must be user:password"),
        (["ops:"], HERE, True, "must be user:password"),
        ([""], HERE, False, "must be user:password"),
        (["ops:secret", ":x"], HERE, False, "must be user:password"),
    ],
)
def test_otherwise_it_refuses_and_says_what_to_do(logins: list[str], address: str, *, open_: bool, said: str) -> None:
    with pytest.raises(InvalidInput, match=said.replace(".", r"\.")):
        check_access(logins, "", address, open_=open_)


def test_the_switch_that_opens_the_api_to_every_web_page_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWER_UNAUTHENTICATED_API", "true")
    with pytest.raises(InvalidInput, match="FLOWER_UNAUTHENTICATED_API: must not be set"):
        check_access(["ops:secret"], "", HERE, open_=False)
