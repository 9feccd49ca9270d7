"""What is posted can be verified by any receiver that knows Standard Webhooks."""

import base64

import pytest

from agentfleet.domain.errors import InvalidInput
from agentfleet.domain.webhooks import headers, signing_key

# The example of https://www.standardwebhooks.com, with which the reference libraries are tested.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, TIMESTAMP, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_published_example_is_signed_as_published():
    assert headers(signing_key(SECRET), ID, TIMESTAMP, BODY) == {
        "webhook-id": ID, "webhook-timestamp": str(TIMESTAMP), "webhook-signature": SIGNATURE,
    }  # fmt: skip


def test_without_a_key_nothing_is_signed():
    assert "webhook-signature" not in headers(None, ID, TIMESTAMP, BODY)


@pytest.mark.parametrize("length", [24, 64])
def test_a_key_of_the_specified_length_is_accepted(length):
    assert len(signing_key("whsec_" + base64.b64encode(b"k" * length).decode())) == length


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_?", "no secret", "whsec_" + "A" * 100])
def test_a_secret_that_is_none_says_how_to_make_one(secret):
    with pytest.raises(InvalidInput, match="openssl rand"):
        signing_key(secret)
